//! Defaults, profile, file and flags put together, later ones over earlier ones, and checked.
//! The only maker of a resolved `Config`. Pure: reads neither file nor environment.

use std::collections::HashMap;

use crate::Config;
use crate::document::Written;
use crate::error::ConfigError;
use crate::flags::Given;
use crate::known::{At, Foreign, known};
use crate::profile::Profile;
use crate::protect;
use crate::raw::{RawConfig, bad_bool};
use crate::table::{Found, Mark, Place, Section};
use crate::validate;
use crate::value::{Kind, Value};
use crate::yaml::YamlError;

/// A configuration that a process can start with.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What every component takes its part of.
    pub config: Config,
    /// What the defaults were before file and flags.
    pub profile: Profile,
    /// Options of Mimir that were set to something, and that nothing obeys yet; for one warning.
    pub unsupported: Vec<Unsupported>,
}

/// An option of Mimir that was set and that nothing obeys yet.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Unsupported {
    /// The flag with its dash, or the YAML path where there is no flag.
    pub option: String,
    /// Where it was set: `command line`, or file and line.
    pub origin: String,
}

impl std::fmt::Display for Unsupported {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.option, self.origin)
    }
}

impl RawConfig {
    /// Puts everything together and checks it.
    pub fn resolve(&self) -> Result<Resolved, ConfigError> {
        let profile = Profile::of(self);
        let mut config = profile.config();
        let mut foreign = Ignored::default();
        if let Some(file) = &self.file {
            apply_written(&mut config, &with_common_values(&file.values))
                .map_err(|problems| ConfigError::File { file: file.name.clone(), problems })?;
            for written in &file.values {
                foreign.add_written(written, &file.name);
            }
        }
        apply_flags(&mut config, &with_common_flags(&self.flags))?;
        foreign.add_flags(&self.flags);
        self.obey_replication_factor(&mut config);
        foreign.add_later(&config, self);
        foreign.refuse_protection()?;
        validate::config(&config).map_err(ConfigError::Invalid)?;
        Ok(Resolved { config, profile, unsupported: foreign.unsupported() })
    }
}

impl RawConfig {
    /// Who asks for a number of copies gets as many, or an error.
    fn obey_replication_factor(&self, config: &mut Config) {
        if self.sets("ingester.ring.replication_factor", "ingester.ring.replication-factor")
            && !self.sets("urd.single_copy_while_alone", "urd.single-copy-while-alone")
        {
            config.urd.single_copy_while_alone = false;
        }
    }

    /// Whether an option was written in the file or as a flag.
    fn sets(&self, path: &str, flag: &str) -> bool {
        let in_file = self.file.as_ref().is_some_and(|f| f.values.iter().any(|v| v.path == path));
        in_file || self.flags.iter().any(|given| given.name == flag)
    }
}

/// Options of the sections that start from `common.storage`, and the options they start from.
const COMMON: [(&str, &str); 1] = [("common.storage.", "blocks_storage.")];
const COMMON_FLAGS: [(&str, &str); 1] = [("common.storage.", "blocks-storage.")];

/// The values of a file with those of `common` once more in front, as values of the sections that
/// start from them; what the sections say themselves comes later and wins.
fn with_common_values(values: &[Written]) -> Vec<Written> {
    let mut all = Vec::new();
    for written in values {
        for (common, section) in COMMON {
            if let Some(rest) = written.path.strip_prefix(common) {
                all.push(Written { path: format!("{section}{rest}"), node: written.node.clone() });
            }
        }
    }
    all.extend_from_slice(values);
    all
}

/// The same for flags: a common flag wins over the file, and loses against the section's own flag.
fn with_common_flags(flags: &[Given]) -> Vec<Given> {
    let mut all = Vec::new();
    for flag in flags {
        for (common, section) in COMMON_FLAGS {
            if let Some(rest) = flag.name.strip_prefix(common) {
                all.push(Given { name: format!("{section}{rest}"), value: flag.value.clone() });
            }
        }
    }
    all.extend_from_slice(flags);
    all
}

/// Sets what a document says; every value that does not fit is a problem of its own.
pub(crate) fn apply_written<'a>(
    section: &mut dyn Section,
    values: impl IntoIterator<Item = &'a Written>,
) -> Result<(), Vec<YamlError>> {
    apply_written_at(section, &Place::default(), values)
}

/// The same for a section that stands at a place of the configuration.
pub(crate) fn apply_written_at<'a>(
    section: &mut dyn Section,
    place: &Place,
    values: impl IntoIterator<Item = &'a Written>,
) -> Result<(), Vec<YamlError>> {
    let mut by_path: HashMap<&str, Vec<&Written>> = HashMap::new();
    for written in values {
        by_path.entry(&written.path).or_default().push(written);
    }
    let mut problems = Vec::new();
    section.walk_mut(place, &mut |found, value| {
        for written in by_path.get(found.path.as_str()).into_iter().flatten() {
            if let Err(error) = value.set_yaml(&written.node) {
                let message = format!("{}: {error}", found.path);
                problems.push(YamlError { line: written.node.line, message });
            }
        }
    });
    problems.sort_by_key(|problem| problem.line);
    if problems.is_empty() { Ok(()) } else { Err(problems) }
}

fn apply_flags(config: &mut Config, flags: &[Given]) -> Result<(), ConfigError> {
    let mut by_name: HashMap<&str, Vec<(usize, &Given)>> = HashMap::new();
    for (at, flag) in flags.iter().enumerate() {
        by_name.entry(&flag.name).or_default().push((at, flag));
    }
    let mut errors = Vec::new();
    config.walk_mut(&Place::default(), &mut |found, value| {
        for (at, flag) in by_name.get(found.flag.as_str()).into_iter().flatten() {
            if let Err(error) = value.set_flag(&flag.value) {
                errors.push((*at, bad_value(flag, value.kind(), &error)));
            }
        }
    });
    // Go stops at the first wrong flag of the command line.
    let first = errors.into_iter().min();
    first.map_or(Ok(()), |(_, error)| Err(ConfigError::Flag(error)))
}

fn bad_value(flag: &Given, kind: Kind, error: &str) -> String {
    match kind {
        Kind::Bool => bad_bool(flag, error),
        Kind::Secret => format!("invalid value for flag -{}: {error}", flag.name),
        _ => format!("invalid value {:?} for flag -{}: {error}", flag.value, flag.name),
    }
}

/// What was set although nothing obeys it.
#[derive(Default)]
struct Ignored {
    unsupported: Vec<Unsupported>,
    unprotected: Vec<String>,
}

impl Ignored {
    fn add_written(&mut self, written: &Written, file: &str) {
        let Some(At::Foreign(foreign)) = known().at(&written.path) else { return };
        let value = match (written.node.scalar(), written.node.list(), written.node.map()) {
            (Some(text), _, _) => text,
            (_, Some([]), _) | (_, _, Some([])) => "",
            _ => "something",
        };
        self.add(foreign, value, format!("{file}:{}", written.node.line));
    }

    fn add_flags(&mut self, flags: &[Given]) {
        for flag in flags {
            if let Some(foreign) = known().foreign_flag(&flag.name) {
                self.add(foreign, &flag.value, "command line".to_owned());
            }
        }
    }

    fn add(&mut self, foreign: &Foreign, value: &str, origin: String) {
        if foreign.is_harmless(value) {
            return;
        }
        let option = foreign.title();
        if protect::promises_protection(foreign) {
            self.unprotected.push(format!("{option} ({origin})"));
        } else {
            self.unsupported.push(Unsupported { option, origin });
        }
    }

    /// Options that are declared but not obeyed, where they differ from their default.
    fn add_later(&mut self, config: &Config, raw: &RawConfig) {
        config.walk(&Place::default(), &mut |found, value| {
            if found.row.mark == Mark::Later && differs_from_default(&found, value) {
                let origin = origin(&found, raw);
                self.unsupported.push(Unsupported { option: found.title(), origin });
            }
        });
    }

    fn refuse_protection(&mut self) -> Result<(), ConfigError> {
        if self.unprotected.is_empty() {
            return Ok(());
        }
        Err(ConfigError::Unprotected(std::mem::take(&mut self.unprotected)))
    }

    fn unsupported(mut self) -> Vec<Unsupported> {
        self.unsupported.sort();
        self.unsupported.dedup();
        self.unsupported
    }
}

/// Where an option was set last.
fn origin(found: &Found, raw: &RawConfig) -> String {
    if raw.flags.iter().any(|flag| flag.name == found.flag) {
        return "command line".to_owned();
    }
    let file = raw.file.as_ref();
    let line = file.and_then(|file| {
        let written = file.values.iter().find(|written| written.path == found.path)?;
        Some(format!("{}:{}", file.name, written.node.line))
    });
    line.unwrap_or_else(|| "profile".to_owned())
}

/// Whether a value is another one than its row declares.
pub(crate) fn differs_from_default(found: &Found, value: &dyn Value) -> bool {
    value.show() != default_of(found)
}

fn default_of(found: &Found) -> String {
    static DEFAULTS: std::sync::OnceLock<HashMap<String, String>> = std::sync::OnceLock::new();
    let defaults = DEFAULTS.get_or_init(|| {
        let mut all = HashMap::new();
        Config::default().walk(&Place::default(), &mut |found, value| {
            all.insert(found.path, value.show());
        });
        all
    });
    defaults.get(&found.path).cloned().unwrap_or_default()
}
