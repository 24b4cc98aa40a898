//! The configuration as YAML, for `/config` and `/runtime_config`. Secrets are masked by their type.

use crate::Config;
use crate::resolve::differs_from_default;
use crate::table::{Place, Section};
use crate::yaml::Out;

/// What a dump shows, by the `mode` parameter of the request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DumpMode {
    /// Everything as it applies.
    #[default]
    Full,
    /// Only what differs from Mimir's defaults.
    Diff,
    /// Mimir's defaults.
    Defaults,
}

impl DumpMode {
    /// The mode that a request names; no or an empty parameter is the full dump.
    pub fn parse(mode: &str) -> Option<DumpMode> {
        match mode {
            "" => Some(DumpMode::Full),
            "diff" => Some(DumpMode::Diff),
            "defaults" => Some(DumpMode::Defaults),
            _ => None,
        }
    }
}

/// The configuration as YAML that Urd would load again, secrets aside.
pub fn dump(config: &Config, mode: DumpMode) -> String {
    let defaults = Config::default();
    let shown = if mode == DumpMode::Defaults { &defaults } else { config };
    let mut tree = Tree::default();
    shown.walk(&Place::default(), &mut |found, value| {
        if mode != DumpMode::Diff || differs_from_default(&found, value) {
            tree.insert(&found.path, value.yaml());
        }
    });
    tree.into_out().render()
}

/// Options by their paths, to become nested maps in the order of insertion.
#[derive(Default)]
pub(crate) struct Tree {
    entries: Vec<(String, Branch)>,
}

enum Branch {
    Leaf(Out),
    Tree(Tree),
}

impl Tree {
    pub(crate) fn insert(&mut self, path: &str, value: Out) {
        let Some((section, rest)) = path.split_once('.') else {
            self.entries.push((path.to_owned(), Branch::Leaf(value)));
            return;
        };
        let at = self.entries.iter().position(|(name, _)| name == section).unwrap_or_else(|| {
            self.entries.push((section.to_owned(), Branch::Tree(Tree::default())));
            self.entries.len() - 1
        });
        if let Branch::Tree(tree) = &mut self.entries[at].1 {
            tree.insert(rest, value);
        }
    }

    pub(crate) fn into_out(self) -> Out {
        let branch = |branch| match branch {
            Branch::Leaf(value) => value,
            Branch::Tree(tree) => tree.into_out(),
        };
        Out::Map(self.entries.into_iter().map(|(name, value)| (name, branch(value))).collect())
    }
}
