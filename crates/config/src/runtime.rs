//! What changes while the process runs, read from the files of `-runtime-config.file`: overrides by
//! tenant, bounds of the process, and which stores of `multi` are used. Components hold an
//! `Overrides` and ask it for a tenant's limits on every request; whoever owns the timer calls
//! `reload`. A reload that fails changes nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::TenantId;

use crate::document::{Document, Written};
use crate::dump::{DumpMode, Tree};
use crate::error::ConfigError;
use crate::known::{At, known};
use crate::protect;
use crate::resolve::{Unsupported, apply_written_at};
use crate::table::{Mark, Place, Section};
use crate::validate;
use crate::value::GoDuration;
use crate::yaml::{self, Node, Out, YamlError};
use crate::{Config, DistributorInstanceLimits, IngesterInstanceLimits, Limits};

/// Where the bounds of the process stand in its configuration.
const INGESTER_LIMITS: &str = "ingester.instance_limits";
const DISTRIBUTOR_LIMITS: &str = "distributor.instance_limits";

/// What the files say: for each tenant the limits that differ, and what holds for the process.
#[derive(Clone, Debug, Default)]
pub struct RuntimeConfig {
    tenants: BTreeMap<String, Vec<Written>>,
    instance: InstanceWritten,
    multi_kv: MultiKvSwitches,
    unsupported: Vec<Unsupported>,
}

/// Bounds of the process as written; `None` where its configuration holds.
#[derive(Clone, Debug, Default)]
struct InstanceWritten {
    ingester: Option<Vec<Written>>,
    distributor: Option<Vec<Written>>,
}

/// How the stores of `multi` are to be used from now on; `None` changes nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MultiKvSwitches {
    /// The store that is read and changed.
    pub primary: Option<String>,
    /// Whether changes are copied to the other one.
    pub mirror_enabled: Option<bool>,
}

/// Keys of Mimir's runtime configuration.
const KEYS: &[&str] = &["overrides", "ingester_limits", "distributor_limits", "multi_kv_config"];

/// Keys of Mimir's runtime configuration that Urd does not have.
const UNSUPPORTED_KEYS: &[&str] = &["ingester_stream_chunks_when_using_blocks"];

impl RuntimeConfig {
    /// Reads one file's text; `file` is its name for messages. Pure.
    pub fn parse(file: &str, text: &str) -> Result<RuntimeConfig, ConfigError> {
        let fail = |problems| ConfigError::File { file: file.to_owned(), problems };
        let root = yaml::parse(text).map_err(|error| fail(vec![error]))?;
        let mut runtime = RuntimeConfig::default();
        let Some(root) = root else { return Ok(runtime) };
        let entries = root.map().ok_or_else(|| fail(vec![problem(&root, "the file is a map")]))?;
        for (key, value) in entries {
            match key.scalar().unwrap_or_default() {
                "overrides" => runtime.read_overrides(value).map_err(fail)?,
                _ if value.is_null() => {}
                "ingester_limits" => {
                    let written = Document::section(INGESTER_LIMITS).options(value);
                    runtime.instance.ingester = Some(written.map_err(fail)?);
                }
                "distributor_limits" => {
                    let written = Document::section(DISTRIBUTOR_LIMITS).options(value);
                    runtime.instance.distributor = Some(written.map_err(fail)?);
                }
                "multi_kv_config" => {
                    runtime.multi_kv.read(value).map_err(|problem| fail(vec![problem]))?;
                }
                name if UNSUPPORTED_KEYS.contains(&name) => runtime.unsupported.push(Unsupported {
                    option: name.to_owned(),
                    origin: format!("{file}:{}", key.line),
                }),
                name => {
                    let keys = KEYS.iter().chain(UNSUPPORTED_KEYS);
                    let hint = crate::suggest::hint(name, keys.copied());
                    let message = format!("field {name} not found in the runtime configuration");
                    return Err(fail(vec![problem(key, &format!("{message}{hint}"))]));
                }
            }
        }
        runtime.check_names(file)?;
        Ok(runtime)
    }

    fn read_overrides(&mut self, node: &Node) -> Result<(), Vec<YamlError>> {
        if node.is_null() {
            return Ok(());
        }
        let wrong = || vec![problem(node, "overrides is a map of tenants")];
        let mut problems = Vec::new();
        for (tenant, limits) in node.map().ok_or_else(wrong)? {
            let Some(name) = tenant.scalar() else {
                problems.push(problem(tenant, "a tenant is named by text"));
                continue;
            };
            match Document::section("limits").options(limits) {
                Ok(written) => {
                    self.tenants.insert(name.to_owned(), written);
                }
                Err(more) => problems.extend(more),
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    /// Limits that Urd does not have: reported, or refused where they promise protection.
    fn check_names(&mut self, file: &str) -> Result<(), ConfigError> {
        let mut unprotected = Vec::new();
        for (tenant, written) in &self.tenants {
            for limit in written {
                let origin = format!("{file}:{}, tenant {tenant}", limit.node.line);
                let value = limit.node.scalar().unwrap_or("something");
                match known().at(&limit.path) {
                    Some(At::Foreign(foreign)) if foreign.is_harmless(value) => {}
                    Some(At::Foreign(foreign)) if protect::promises_protection(foreign) => {
                        unprotected.push(format!("{} ({origin})", limit.path));
                    }
                    Some(At::Ours(found)) if found.row.mark != Mark::Later => {}
                    _ => self.unsupported.push(Unsupported { option: limit.path.clone(), origin }),
                }
            }
        }
        if unprotected.is_empty() { Ok(()) } else { Err(ConfigError::Unprotected(unprotected)) }
    }

    /// Adds another file: where both set the same limit of a tenant, the other one wins.
    #[must_use]
    pub fn merge(mut self, other: RuntimeConfig) -> RuntimeConfig {
        for (tenant, written) in other.tenants {
            self.tenants.entry(tenant).or_default().extend(written);
        }
        self.instance.ingester = other.instance.ingester.or(self.instance.ingester);
        self.instance.distributor = other.instance.distributor.or(self.instance.distributor);
        self.multi_kv.primary = other.multi_kv.primary.or(self.multi_kv.primary);
        self.multi_kv.mirror_enabled =
            other.multi_kv.mirror_enabled.or(self.multi_kv.mirror_enabled);
        self.unsupported.extend(other.unsupported);
        self
    }

    /// The bounds of the process, over those of its configuration.
    fn instance(&self, file: &str, base: &Base) -> Result<InstanceLimits, ConfigError> {
        let fail = |problems| ConfigError::File { file: file.to_owned(), problems };
        let place = |section: &'static str| Place::default().section(section, "");
        let mut limits = InstanceLimits::default();
        if let Some(written) = &self.instance.ingester {
            let ingester = limits.ingester.insert(base.ingester.clone());
            apply_written_at(ingester, &place(INGESTER_LIMITS), written).map_err(fail)?;
        }
        if let Some(written) = &self.instance.distributor {
            let distributor = limits.distributor.insert(base.distributor.clone());
            apply_written_at(distributor, &place(DISTRIBUTOR_LIMITS), written).map_err(fail)?;
        }
        Ok(limits)
    }

    /// The limits of every tenant that is named, over the default ones.
    fn limits(&self, file: &str, base: &Base) -> Result<HashMap<String, Arc<Limits>>, ConfigError> {
        let place = Place::default().section("limits", "");
        let mut tenants = HashMap::with_capacity(self.tenants.len());
        for (tenant, written) in &self.tenants {
            let mut limits = Limits::clone(&base.limits);
            apply_written_at(&mut limits, &place, written)
                .map_err(|problems| ConfigError::File { file: file.to_owned(), problems })?;
            validate::limits(&limits, base.query_store_after).map_err(|error| {
                ConfigError::Invalid(format!("{file}: overrides of tenant {tenant}: {error}"))
            })?;
            tenants.insert(tenant.clone(), Arc::new(limits));
        }
        Ok(tenants)
    }
}

impl MultiKvSwitches {
    fn read(&mut self, node: &Node) -> Result<(), YamlError> {
        let entries = node.map().ok_or_else(|| problem(node, "multi_kv_config is a map"))?;
        for (key, value) in entries {
            match (key.scalar(), value.scalar()) {
                (Some("primary"), Some(name)) => {
                    self.primary = Some(name.to_owned()).filter(|name| !name.is_empty());
                }
                (Some("mirror_enabled"), Some(word @ ("true" | "false"))) => {
                    self.mirror_enabled = Some(word == "true");
                }
                (Some("primary" | "mirror_enabled"), _) if value.is_null() => {}
                (Some("mirror_enabled"), _) => {
                    return Err(problem(value, "mirror_enabled is true or false"));
                }
                _ => return Err(problem(key, "multi_kv_config has primary and mirror_enabled")),
            }
        }
        Ok(())
    }
}

fn problem(node: &Node, message: &str) -> YamlError {
    YamlError { line: node.line, message: message.to_owned() }
}

/// What overrides stand on.
#[derive(Debug)]
struct Base {
    limits: Arc<Limits>,
    ingester: IngesterInstanceLimits,
    distributor: DistributorInstanceLimits,
    query_store_after: GoDuration,
}

/// Bounds of the process that the files set.
#[derive(Debug, Default)]
struct InstanceLimits {
    ingester: Option<IngesterInstanceLimits>,
    distributor: Option<DistributorInstanceLimits>,
}

/// The limits of every tenant at this moment.
#[derive(Debug)]
pub struct Overrides {
    base: Base,
    files: Vec<String>,
    current: ArcSwap<Snapshot>,
}

#[derive(Debug, Default)]
struct Snapshot {
    texts: Vec<String>,
    tenants: HashMap<String, Arc<Limits>>,
    instance: InstanceLimits,
    multi_kv: MultiKvSwitches,
    unsupported: Vec<Unsupported>,
}

impl Overrides {
    /// The default limits for everybody, until the first `reload`.
    pub fn new(config: &Config) -> Overrides {
        Overrides {
            base: Base {
                limits: Arc::new(config.limits.clone()),
                ingester: config.ingester.instance_limits.clone(),
                distributor: config.distributor.instance_limits.clone(),
                query_store_after: config.querier.query_store_after,
            },
            files: config.runtime_config.file.0.clone(),
            current: ArcSwap::default(),
        }
    }

    /// The same limits for everybody, for ever; for tests of components.
    pub fn fixed(limits: Limits) -> Overrides {
        Overrides::new(&Config { limits, ..Config::default() })
    }

    /// The same, with limits of their own for some tenants; for simulations.
    #[must_use]
    pub fn with_tenants(self, tenants: impl IntoIterator<Item = (String, Limits)>) -> Overrides {
        let tenants = tenants.into_iter().map(|(tenant, limits)| (tenant, Arc::new(limits)));
        let snapshot = Snapshot { tenants: tenants.collect(), ..Snapshot::default() };
        Overrides { current: ArcSwap::from_pointee(snapshot), ..self }
    }

    /// The limits of a tenant.
    pub fn limits(&self, tenant: &TenantId) -> Arc<Limits> {
        let current = self.current.load();
        Arc::clone(current.tenants.get(tenant.as_str()).unwrap_or(&self.base.limits))
    }

    /// The limits of tenants without overrides.
    pub fn defaults(&self) -> &Arc<Limits> {
        &self.base.limits
    }

    /// Bounds of this process' ingester, where the files set some: those of its configuration hold
    /// otherwise.
    pub fn ingester_limits(&self) -> Option<IngesterInstanceLimits> {
        self.current.load().instance.ingester.clone()
    }

    /// The same of this process' distributor.
    pub fn distributor_limits(&self) -> Option<DistributorInstanceLimits> {
        self.current.load().instance.distributor.clone()
    }

    /// How the stores of `multi` are to be used.
    pub fn multi_kv(&self) -> MultiKvSwitches {
        self.current.load().multi_kv.clone()
    }

    /// Tenants with overrides and their limits, sorted by tenant.
    pub fn overridden(&self) -> Vec<(String, Arc<Limits>)> {
        let current = self.current.load();
        let mut tenants: Vec<_> = current
            .tenants
            .iter()
            .map(|(name, limits)| (name.clone(), Arc::clone(limits)))
            .collect();
        tenants.sort_by(|a, b| a.0.cmp(&b.0));
        tenants
    }

    /// Limits and keys that were set in the files although nothing obeys them.
    pub fn unsupported(&self) -> Vec<Unsupported> {
        self.current.load().unsupported.clone()
    }

    /// Whether there is anything to reload.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// The texts of the files as of the last good reload, joined; Mimir exposes its hash.
    pub fn source_text(&self) -> String {
        self.current.load().texts.concat()
    }

    /// Reads the files again; `true` when something has changed. On an error everything stays as
    /// it was.
    pub fn reload(&self) -> Result<bool, ConfigError> {
        let texts = self.files.iter().map(|file| read(file)).collect::<Result<Vec<_>, _>>()?;
        if self.current.load().texts == texts {
            return Ok(false);
        }
        let mut runtime = RuntimeConfig::default();
        for (file, text) in self.files.iter().zip(&texts) {
            let parsed = RuntimeConfig::parse(file, text)?;
            // Every file must be right by itself, so that a message names the file at fault.
            parsed.limits(file, &self.base)?;
            parsed.instance(file, &self.base)?;
            runtime = runtime.merge(parsed);
        }
        let files = self.files.join(",");
        let tenants = runtime.limits(&files, &self.base)?;
        let instance = runtime.instance(&files, &self.base)?;
        let RuntimeConfig { multi_kv, unsupported, .. } = runtime;
        let snapshot = Snapshot { texts, tenants, instance, multi_kv, unsupported };
        self.current.store(Arc::new(snapshot));
        Ok(true)
    }

    /// The overrides as YAML for `/runtime_config`: whole limits, or under `diff` those that differ
    /// from the defaults. `None` where no file is configured.
    pub fn dump(&self, mode: DumpMode) -> Option<String> {
        if !self.has_files() {
            return None;
        }
        let tenants = self.overridden();
        let shown = tenants.iter().map(|(tenant, limits)| {
            let base = (mode == DumpMode::Diff).then_some(&*self.base.limits);
            (tenant.clone(), limits_out(limits, base))
        });
        Some(Out::Map(vec![("overrides".to_owned(), Out::Map(shown.collect()))]).render())
    }
}

fn read(file: &str) -> Result<String, ConfigError> {
    std::fs::read_to_string(file).map_err(|source| ConfigError::Read { path: file.into(), source })
}

/// Limits as YAML, without those that are the same in `base`.
fn limits_out(limits: &Limits, base: Option<&Limits>) -> Out {
    let mut same = HashMap::new();
    if let Some(base) = base {
        base.walk(&Place::default(), &mut |found, value| {
            same.insert(found.path, value.show());
        });
    }
    let mut tree = Tree::default();
    limits.walk(&Place::default(), &mut |found, value| {
        if same.get(&found.path) != Some(&value.show()) {
            tree.insert(&found.path, value.yaml());
        }
    });
    tree.into_out()
}
