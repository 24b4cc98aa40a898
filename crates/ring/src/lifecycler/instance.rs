//! What an instance makes of its ring. Pure: rings in, rings out; the caller stores them.

use model::Random;

use crate::desc::{Desc, InstanceDesc, InstanceState};
use crate::spread::{SpreadError, SpreadMinimizing};
use crate::tokens::{own_tokens, random_tokens};

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenStrategy {
    /// At random, by the instance's name.
    Random,
    /// So that everybody owns the same share.
    SpreadMinimizing(SpreadMinimizing),
}

impl TokenStrategy {
    /// Whether the instance joins only after others.
    pub fn waits_for_others(&self) -> bool {
        matches!(self, Self::SpreadMinimizing(spread) if spread.is_in_order())
    }

    /// Whether it may join the ring now.
    pub fn can_join(&self, ring: &Desc) -> Result<(), SpreadError> {
        match self {
            Self::Random => Ok(()),
            Self::SpreadMinimizing(spread) => spread.can_join(ring),
        }
    }

    /// `count` tokens of the instance `id` that are not taken.
    fn generate(&self, id: &str, (count, taken): (usize, &[u32]), random: &dyn Random) -> Vec<u32> {
        match self {
            Self::Random => own_tokens(id, count, taken),
            Self::SpreadMinimizing(spread) => spread.tokens(count, taken).unwrap_or_else(|error| {
                tracing::error!(%error, "no tokens that spread well: taking random ones");
                random_tokens(random, count, taken)
            }),
        }
    }
}

/// How an instance becomes active.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinStyle {
    /// As ingesters do: pending, joining when its tokens are watched, active.
    Steps,
    /// With its tokens and in this state at once, as all others do.
    As(InstanceState),
}

/// What stands in the ring about an instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceOptions {
    /// Its name.
    pub id: String,
    /// Host and port for its clients.
    pub addr: String,
    /// Its zone.
    pub zone: String,
    /// How many tokens it has.
    pub num_tokens: usize,
    /// How they are chosen.
    pub tokens: TokenStrategy,
    /// How it becomes active.
    pub join: JoinStyle,
    /// Others that are silent for longer than this many seconds are taken out; 0 for never.
    pub forget_after_s: i64,
}

/// An instance as it knows itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instance {
    options: InstanceOptions,
    state: InstanceState,
    tokens: Vec<u32>,
    registered_s: i64,
    read_only: bool,
    read_only_updated_s: i64,
}

impl Instance {
    /// An instance that is in no ring.
    pub fn new(options: InstanceOptions) -> Self {
        Self {
            options,
            state: InstanceState::Pending,
            tokens: Vec::new(),
            registered_s: 0,
            read_only: false,
            read_only_updated_s: 0,
        }
    }

    /// Its state.
    pub fn state(&self) -> InstanceState {
        self.state
    }

    /// Its tokens, sorted.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// Whether it takes no new data, and when that changed, seconds.
    pub fn read_only(&self) -> (bool, i64) {
        (self.read_only, self.read_only_updated_s)
    }

    /// Whether an instance may go from one state to another.
    pub fn may_follow(from: InstanceState, to: InstanceState) -> bool {
        use InstanceState::{Active, Joining, Leaving, Pending};
        matches!(
            (from, to),
            (Pending, Joining | Active | Leaving)
                | (Joining, Pending | Active | Leaving)
                | (Active, Leaving)
        )
    }

    /// Goes to a state. Not in the ring before the next [`Self::heartbeat`].
    pub fn set_state(&mut self, state: InstanceState) {
        self.state = state;
    }

    /// Changes whether it takes new data; `false` when that is so already.
    pub fn set_read_only(&mut self, read_only: bool, now_s: i64) -> bool {
        if self.read_only == read_only {
            return false;
        }
        (self.read_only, self.read_only_updated_s) = (read_only, now_s);
        true
    }

    /// Comes into the ring, or comes back to it after a restart. `None` when the ring can stay as
    /// it is. `(now_s, random)` is the moment and where new tokens come from.
    pub fn register(
        &mut self,
        desc: Desc,
        from_file: &[u32],
        at: (i64, &dyn Random),
    ) -> Option<Desc> {
        let known = desc.ingesters.get(&self.options.id).cloned();
        if let Some(known) = &known {
            self.registered_s = known.registered_timestamp;
            self.read_only = known.read_only;
            self.read_only_updated_s = known.read_only_updated_timestamp;
        } else {
            self.registered_s = at.0;
        }
        match self.options.join {
            JoinStyle::Steps => self.register_in_steps(desc, known, from_file, at),
            JoinStyle::As(state) => Some(self.register_as(state, desc, from_file, at)),
        }
    }

    fn register_as(
        &mut self,
        state: InstanceState,
        desc: Desc,
        from_file: &[u32],
        (now_s, random): (i64, &dyn Random),
    ) -> Desc {
        self.tokens = desc.tokens_of(&self.options.id);
        if self.tokens.is_empty() {
            self.tokens = from_file.to_vec();
        }
        self.fill_tokens(&desc, random);
        self.state = state;
        self.placed(desc, now_s)
    }

    fn register_in_steps(
        &mut self,
        desc: Desc,
        known: Option<InstanceDesc>,
        from_file: &[u32],
        (now_s, random): (i64, &dyn Random),
    ) -> Option<Desc> {
        let Some(known) = known else {
            self.tokens = from_file.to_vec();
            if !from_file.is_empty() && self.options.num_tokens <= from_file.len() {
                self.state = InstanceState::Active;
            }
            return Some(self.placed(desc, now_s));
        };
        self.tokens.clone_from(&known.tokens);
        let state = known.instance_state().unwrap_or(InstanceState::Pending);
        self.state = match state {
            // Its tokens were not verified: it begins anew.
            InstanceState::Joining | InstanceState::Left => InstanceState::Pending,
            // It did not unregister, or was killed while it left.
            InstanceState::Leaving => {
                self.fit_tokens(&desc, random);
                InstanceState::Active
            }
            other => other,
        };
        let placed = self.described(known.timestamp);
        (placed != known).then(|| self.placed(desc, now_s))
    }

    /// Takes tokens and goes to `target`.
    pub fn join(
        &mut self,
        desc: Desc,
        target: InstanceState,
        (now_s, random): (i64, &dyn Random),
    ) -> Desc {
        self.tokens = desc.tokens_of(&self.options.id);
        self.fill_tokens(&desc, random);
        self.state = target;
        self.placed(desc, now_s)
    }

    /// Becomes active when its tokens in the ring are those that it took; else it takes others
    /// for those that it lost.
    pub fn verify(&mut self, desc: Desc, (now_s, random): (i64, &dyn Random)) -> Desc {
        let in_ring = desc.tokens_of(&self.options.id);
        if in_ring == self.tokens {
            self.state = InstanceState::Active;
        } else {
            self.tokens = in_ring;
            self.fill_tokens(&desc, random);
        }
        self.placed(desc, now_s)
    }

    /// Shows that it is there. An instance that is missing in the ring registers anew.
    pub fn heartbeat(&mut self, mut desc: Desc, now_s: i64) -> Desc {
        match desc.ingesters.get(&self.options.id) {
            // Others may have won tokens from it.
            Some(known) => self.tokens.clone_from(&known.tokens),
            None => {
                tracing::info!(instance = self.options.id, "missing in the ring: registers anew");
                self.registered_s = now_s;
            }
        }
        if self.options.forget_after_s > 0 {
            let own = desc.ingesters.remove(&self.options.id);
            for id in desc.forget_silent(self.options.forget_after_s, now_s) {
                tracing::warn!(instance = id, "forgotten: silent in the ring for too long");
            }
            desc.ingesters.extend(own.map(|own| (self.options.id.clone(), own)));
        }
        self.placed(desc, now_s)
    }

    fn fill_tokens(&mut self, desc: &Desc, random: &dyn Random) {
        let missing = self.options.num_tokens.saturating_sub(self.tokens.len());
        if missing > 0 {
            let mut taken = desc.tokens();
            taken.extend(&self.tokens);
            let (id, strategy) = (&self.options.id, &self.options.tokens);
            self.tokens.extend(strategy.generate(id, (missing, &taken), random));
            self.tokens.sort_unstable();
        }
    }

    fn fit_tokens(&mut self, desc: &Desc, random: &dyn Random) {
        while self.options.num_tokens < self.tokens.len() {
            let at = random.below(self.tokens.len() as u64) as usize;
            self.tokens.remove(at);
        }
        self.fill_tokens(desc, random);
    }

    fn placed(&self, mut desc: Desc, now_s: i64) -> Desc {
        desc.ingesters.insert(self.options.id.clone(), self.described(now_s));
        desc
    }

    fn described(&self, timestamp: i64) -> InstanceDesc {
        InstanceDesc {
            id: self.options.id.clone(),
            addr: self.options.addr.clone(),
            zone: self.options.zone.clone(),
            timestamp,
            state: self.state as i32,
            tokens: self.tokens.clone(),
            registered_timestamp: self.registered_s,
            read_only: self.read_only,
            read_only_updated_timestamp: self.read_only_updated_s,
            ..InstanceDesc::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use InstanceState::{Active, Joining, Leaving, Pending};
    use model::env::SeededRandom;

    use super::*;

    fn options(join: JoinStyle) -> InstanceOptions {
        InstanceOptions {
            id: "i".to_owned(),
            addr: "a:1".to_owned(),
            zone: "z".to_owned(),
            num_tokens: 4,
            tokens: TokenStrategy::Random,
            join,
            forget_after_s: 0,
        }
    }

    fn own(desc: &Desc) -> &InstanceDesc {
        &desc.ingesters["i"]
    }

    #[test]
    fn an_ingester_goes_step_by_step() {
        let random = SeededRandom::new(1);
        let mut ingester = Instance::new(options(JoinStyle::Steps));
        let desc = ingester.register(Desc::default(), &[], (10, &random)).unwrap();
        assert!(own(&desc).is_in(Pending) && own(&desc).tokens.is_empty());
        let desc = ingester.join(desc, Joining, (11, &random));
        assert_eq!((own(&desc).tokens.len(), own(&desc).registered_timestamp), (4, 10));
        let mut robbed = desc;
        robbed.ingesters.get_mut("i").unwrap().tokens.truncate(3);
        let desc = ingester.verify(robbed, (12, &random));
        assert!(own(&desc).is_in(Joining) && own(&desc).tokens.len() == 4);
        let desc = ingester.verify(desc, (13, &random));
        assert!(own(&desc).is_in(Active));
        ingester.set_state(Leaving);
        let desc = ingester.heartbeat(desc, 20);
        // It comes back as what it was.
        let mut again = Instance::new(options(JoinStyle::Steps));
        let back = again.register(desc.clone(), &[], (30, &random)).unwrap();
        assert!(own(&back).is_in(Active) && own(&back).tokens == own(&desc).tokens);
        assert_eq!(own(&back).registered_timestamp, 10);
        assert_eq!(again.register(back, &[], (31, &random)), None);
    }

    /// Else a tenant's shard would forget, with the tokens, that an ingester had its samples: a
    /// look back finds again those that came lately, where they were.
    #[test]
    fn who_left_the_ring_comes_back_with_its_tokens() {
        let tokens = |seed: u64, others: &Desc| {
            let random = SeededRandom::new(seed);
            let mut ingester = Instance::new(options(JoinStyle::Steps));
            let desc = ingester.register(others.clone(), &[], (10, &random)).unwrap();
            own(&ingester.join(desc, Active, (11, &random))).tokens.clone()
        };
        let first = tokens(1, &Desc::default());
        let taken = InstanceDesc { tokens: vec![first[2]], ..InstanceDesc::default() };
        let others = Desc { ingesters: [("other".to_owned(), taken)].into() };
        assert_eq!(tokens(2, &Desc::default()), first);
        let again = tokens(3, &others);
        assert_eq!(again.iter().filter(|token| first.contains(token)).count(), 3);
        assert!(!again.contains(&first[2]));
    }

    #[test]
    fn tokens_of_the_file_are_used() {
        let random = SeededRandom::new(1);
        let mut ingester = Instance::new(options(JoinStyle::Steps));
        let desc = ingester.register(Desc::default(), &[1, 2, 3, 4], (10, &random)).unwrap();
        assert!(own(&desc).is_in(Active) && own(&desc).tokens == [1, 2, 3, 4]);
        let mut few = Instance::new(options(JoinStyle::Steps));
        let desc = few.register(Desc::default(), &[1, 2], (10, &random)).unwrap();
        assert!(own(&desc).is_in(Pending));
        let desc = few.join(desc, Active, (11, &random));
        assert_eq!(own(&desc).tokens.len(), 4);
        assert!(own(&desc).tokens.contains(&1));
    }

    #[test]
    fn others_are_there_at_once_and_forget_the_silent() {
        let random = SeededRandom::new(1);
        let with = InstanceOptions { forget_after_s: 60, ..options(JoinStyle::As(Joining)) };
        let mut gateway = Instance::new(with);
        let mut desc = gateway.register(Desc::default(), &[], (1000, &random)).unwrap();
        assert!(own(&desc).is_in(Joining) && own(&desc).tokens.len() == 4);
        for (id, timestamp) in [("old", 1039), ("new", 1040)] {
            let instance = InstanceDesc { timestamp, ..InstanceDesc::default() };
            desc.ingesters.insert(id.to_owned(), instance);
        }
        desc = gateway.heartbeat(desc, 1100);
        assert_eq!(desc.ingesters.keys().collect::<Vec<_>>(), ["i", "new"]);
        assert!(gateway.set_read_only(true, 1101) && !gateway.set_read_only(true, 1102));
        let fresh = gateway.heartbeat(Desc::default(), 1200);
        assert_eq!(own(&fresh).registered_timestamp, 1200);
        assert_eq!((own(&fresh).read_only, own(&fresh).read_only_updated_timestamp), (true, 1101));
        assert_eq!(own(&fresh).tokens, own(&desc).tokens);
    }
}
