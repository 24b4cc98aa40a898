//! The automaton of patterns that need one: a lazily built DFA over a bounded cache, which
//! takes time linear in the value. Only whether a value matches is asked of it.

use std::panic::{RefUnwindSafe, UnwindSafe};

use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson::{self, NFA, WhichCaptures, pikevm::PikeVM};
use regex_automata::util::pool::Pool;
use regex_automata::{Anchored, Input};

use super::ast::Node;
use super::lower::{Groups, anchored};
use super::parse::parse;

/// Memory of one thread's DFA states of one pattern. When it is full, it is emptied.
const CACHE_BYTES: usize = 1 << 20;
/// The memory that the NFA of a pattern may take. Building it cannot be stopped: 32 MiB have taken
/// 290 ms, and a query must use no CPU 50 ms after its client left.
const MAX_NFA_BYTES: usize = 4 << 20;
/// Patterns of at most so many states are surely below [`MAX_NFA_BYTES`].
const SMALL_STATES: usize = 20_000;

type NewCache = Box<dyn Fn() -> Cache + Send + Sync + UnwindSafe + RefUnwindSafe>;

/// An automaton.
pub(super) struct Engine {
    nfa: NFA,
    dfa: DFA,
    caches: Pool<Cache, NewCache>,
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("states", &self.nfa.states().len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// The automaton of a pattern that has been parsed before and found to be small.
    pub(super) fn of_pattern(pattern: &str) -> Self {
        let node = parse(pattern).expect("the pattern was parsed when the regex was made").node;
        Self::build(&node, None).expect("a small pattern has an automaton")
    }

    /// The automaton of a pattern unless that is too large.
    pub(super) fn bounded(node: &Node) -> Option<Self> {
        if states(node) > MAX_NFA_BYTES {
            // No state is smaller than a byte: not worth a try.
            return None;
        }
        Self::build(node, Some(MAX_NFA_BYTES))
    }

    fn build(node: &Node, max_bytes: Option<usize>) -> Option<Self> {
        let config =
            thompson::Config::new().nfa_size_limit(max_bytes).which_captures(WhichCaptures::None);
        let hir = anchored(node, Groups::Dropped);
        let nfa = thompson::Compiler::new().configure(config).build_from_hir(&hir).ok()?;
        let config = DFA::config().cache_capacity(CACHE_BYTES).skip_cache_capacity_check(true);
        let dfa = DFA::builder().configure(config).build_from_nfa(nfa.clone()).ok()?;
        let for_caches = dfa.clone();
        let new_cache: NewCache = Box::new(move || for_caches.create_cache());
        Some(Self { nfa, dfa, caches: Pool::new(new_cache) })
    }

    /// The memory of its NFA.
    pub(super) fn nfa_bytes(&self) -> usize {
        self.nfa.memory_usage()
    }

    /// Whether the whole of `value` matches.
    pub(super) fn is_match(&self, value: &str) -> bool {
        let input = Input::new(value).anchored(Anchored::Yes).earliest(true);
        let mut cache = self.caches.get();
        match self.dfa.try_search_fwd(&mut cache, &input) {
            Ok(found) => found.is_some(),
            Err(_) => self.simulate(input),
        }
    }

    /// Without the DFA: it may give up in theory, though nothing that is set here lets it.
    fn simulate(&self, input: Input<'_>) -> bool {
        let simulation = PikeVM::new_from_nfa(self.nfa.clone());
        simulation.is_ok_and(|pike| pike.is_match(&mut pike.create_cache(), input))
    }
}

/// Whether the pattern's automaton is small for sure.
pub(super) fn is_small(node: &Node) -> bool {
    states(node) <= SMALL_STATES
}

/// About the memory of the automaton of a small pattern.
pub(super) fn estimated_bytes(node: &Node) -> usize {
    const STATE_BYTES: usize = 32;
    states(node).saturating_mul(STATE_BYTES)
}

/// An upper estimate of the states that a part of a pattern takes.
fn states(node: &Node) -> usize {
    let sum = |nodes: &[Node]| nodes.iter().map(states).fold(1, usize::saturating_add);
    match node {
        Node::Empty | Node::Never | Node::Look(_) => 1,
        Node::Literal { text, fold: false } => text.len(),
        // Each character has a few cases of a few bytes.
        Node::Literal { fold: true, text } => text.len() * 12,
        Node::Class(class) => 1 + class.ranges().len() * 8,
        Node::AnyChar | Node::AnyCharNotNewline => 12,
        Node::Repeat { min, max, sub, .. } => {
            let copies = max.unwrap_or(*min).max(1) as usize;
            states(sub).saturating_add(2).saturating_mul(copies)
        }
        Node::Capture { sub, .. } => states(sub),
        Node::Concat(nodes) | Node::Alternate(nodes) => sum(nodes),
    }
}
