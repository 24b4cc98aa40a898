//! The module table: which parts a node can have, what each one needs, and how it is built. To
//! add a component, write its builder in a file of its own and put a line into [`MODULES`].

mod compactor;
mod distributor;
mod ingester;
mod querier;
mod ring_ingesters;
mod rings;
mod runtime_config;
mod self_scrape;
mod store_gateway;

use crate::env::{Env, Parts};

/// A part of a node.
pub struct Module {
    /// Its name; where Mimir has the module, Mimir's.
    pub name: &'static str,
    /// The modules that must be built before it, as far as this process has them.
    pub needs: &'static [&'static str],
    /// The components for whose sake a process has it; empty = every process.
    pub components: &'static [&'static str],
    /// Builds it: takes what it needs from the parts and adds what it has made.
    pub build: fn(&Env, &mut Parts) -> anyhow::Result<()>,
}

/// All modules of the target `all`, in the order in which they are built: each after all that it
/// needs.
pub const MODULES: &[Module] = &[
    Module { name: "runtime-config", needs: &[], components: &[], build: runtime_config::build },
    Module { name: "rings", needs: &["runtime-config"], components: &[], build: rings::build },
    Module {
        name: "ingester",
        needs: &["runtime-config", "rings"],
        components: &["ingester"],
        build: ingester::build,
    },
    Module {
        name: "ring-ingesters",
        needs: &["rings", "ingester"],
        components: &["distributor", "querier"],
        build: ring_ingesters::build,
    },
    Module {
        name: "distributor",
        needs: &["ring-ingesters"],
        components: &["distributor"],
        build: distributor::build,
    },
    Module {
        name: "store-gateway",
        needs: &["runtime-config", "rings"],
        components: &["store-gateway"],
        build: store_gateway::build,
    },
    Module {
        name: "querier",
        needs: &["ring-ingesters", "store-gateway"],
        components: &["querier"],
        build: querier::build,
    },
    Module {
        name: "compactor",
        needs: &["runtime-config", "rings"],
        components: &["compactor"],
        build: compactor::build,
    },
    // Last: an instance is in its ring when it can do its work.
    Module {
        name: "ring-instances",
        needs: &["rings", "ingester", "distributor", "store-gateway", "compactor"],
        components: &[],
        build: rings::join,
    },
    Module {
        name: "self-scrape",
        needs: &["ingester"],
        components: &["ingester"],
        build: self_scrape::build,
    },
];

/// Builds the modules of the components that `-target` names.
pub(crate) fn build_all(env: &Env, parts: &mut Parts) -> anyhow::Result<()> {
    let is_wanted = |module: &&Module| {
        let mut components = module.components.iter();
        module.components.is_empty() || components.any(|component| env.runs(component))
    };
    for module in MODULES.iter().filter(is_wanted) {
        (module.build)(env, parts).map_err(|error| error.context(module.name))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_module_comes_after_all_that_it_needs() {
        for (index, module) in MODULES.iter().enumerate() {
            let before: Vec<&str> = MODULES[..index].iter().map(|module| module.name).collect();
            assert!(!before.contains(&module.name), "{} stands twice", module.name);
            for need in module.needs {
                assert!(before.contains(need), "{} needs {need}", module.name);
            }
        }
    }
}
