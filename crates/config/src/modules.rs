//! What `-target` may name, what of it is built, and what the named components use. Called by
//! `main` for `-modules`, by the checks, and by the wiring.

use crate::Config;

/// A component that a process can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Module {
    /// The word for `-target`.
    pub name: &'static str,
    /// Whether the target `all` includes it.
    pub in_all: bool,
    /// Whether a process can run it alone.
    pub alone: bool,
}

const fn module(name: &'static str, in_all: bool) -> Module {
    Module { name, in_all, alone: false }
}

/// Mimir's modules.
pub const MODULES: &[Module] = &[
    module("alertmanager", false),
    Module { name: "all", in_all: true, alone: true },
    module("block-builder", false),
    module("block-builder-scheduler", false),
    Module { name: "compactor", in_all: true, alone: true },
    module("continuous-test", false),
    Module { name: "distributor", in_all: true, alone: true },
    Module { name: "ingester", in_all: true, alone: true },
    module("memberlist-kv", true),
    module("overrides-exporter", false),
    Module { name: "querier", in_all: true, alone: true },
    module("query-frontend", true),
    module("query-scheduler", true),
    module("ruler", true),
    Module { name: "store-gateway", in_all: true, alone: true },
    module("usage-tracker", false),
];

/// The rings, each under the component whose instances it holds, and the components that use it.
const RING_USERS: &[(&str, &[&str])] = &[
    ("ingester", &["ingester", "distributor", "querier"]),
    ("distributor", &["distributor"]),
    ("store-gateway", &["store-gateway", "querier"]),
    ("compactor", &["compactor"]),
];

impl Config {
    /// Whether a process with this configuration runs a component.
    pub fn runs(&self, component: &str) -> bool {
        self.target.0.iter().any(|target| target == "all" || target == component)
    }

    /// Whether it runs a component that has to know the ring of `component`'s instances.
    pub fn uses_ring(&self, component: &str) -> bool {
        let mut rings = RING_USERS.iter().filter(|(ring, _)| *ring == component);
        rings.any(|(_, users)| users.iter().any(|user| self.runs(user)))
    }
}

/// Checks the value of `-target`.
pub(crate) fn check_target(targets: &[String]) -> Result<(), String> {
    if targets.is_empty() {
        return Err("no modules specified".to_owned());
    }
    for target in targets {
        let Some(module) = MODULES.iter().find(|module| module.name == target) else {
            let hint = crate::suggest::hint(target, MODULES.iter().map(|module| module.name));
            return Err(format!("unrecognised module name: {target}{hint}"));
        };
        if !module.alone {
            return Err(format!(
                "-target={target} is not built yet: a process can run all, compactor, distributor, \
                 ingester, querier and store-gateway, and lists of them"
            ));
        }
    }
    Ok(())
}
