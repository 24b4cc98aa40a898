//! Every option that may be named: Urd's own table, and Mimir's names from `known_mimir.txt` for
//! those that Urd does not have. Called by the loaders; built once.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use crate::Config;
use crate::descriptor::{dashed, is_off};
use crate::flags::Shape;
use crate::suggest;
use crate::table::{Found, Place, Section};
use crate::value::{GoDuration, Kind, PromDuration};

/// The list as it is compiled in; its form is explained in `descriptor/list.rs`.
pub(crate) const LIST: &str = include_str!("known_mimir.txt");

/// Flags that Mimir has beside the options of its descriptor, and whether they are boolean.
const EXTRA_FLAGS: &[(&str, bool)] = &[
    ("debug.block-profile-rate", false),
    ("debug.mutex-profile-fraction", false),
    ("log.buffered", true),
    ("log.rate-limit-enabled", true),
    ("log.rate-limit-logs-burst-size", false),
    ("log.rate-limit-logs-per-second", false),
    ("mem-ballast-size-bytes", false),
];

/// Flags that Urd acts on before there is a configuration.
pub(crate) const ACTION_FLAGS: &[(&str, Shape)] = &[
    ("config.file", Shape::Valued),
    ("config.expand-env", Shape::Bool),
    ("h", Shape::Bool),
    ("help", Shape::Bool),
    ("help-all", Shape::Bool),
    ("modules", Shape::Bool),
    ("print.config", Shape::Bool),
    ("version", Shape::Bool),
];

/// Values of options which Urd does not have that say what Urd does anyway.
const TRUE_ANYWAY: &[(&str, &str)] = &[("usage_stats.enabled", "false")];

/// An option of Mimir that Urd does not declare.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Foreign {
    pub(crate) path: String,
    pub(crate) flag: String,
    pub(crate) shape: Shape,
    pub(crate) default: String,
}

impl Foreign {
    /// The name to tell a user.
    pub(crate) fn title(&self) -> String {
        if self.flag.is_empty() { self.path.clone() } else { format!("-{}", self.flag) }
    }

    /// Whether a value asks for nothing that Urd does not do: Mimir's default, or what Urd does.
    pub(crate) fn is_harmless(&self, value: &str) -> bool {
        let agrees = |path: &str, text: &str| path == self.path && same(text, value);
        same(&self.default, value)
            || TRUE_ANYWAY.iter().any(|(path, text)| agrees(path, text))
            || (is_off(&self.default) && is_off(value))
    }
}

/// Whether two texts mean the same value.
pub(crate) fn same(a: &str, b: &str) -> bool {
    let number = |text: &str| text.parse::<f64>().ok();
    let nanos = |text: &str| {
        let go = GoDuration::parse(text).map(GoDuration::nanos);
        go.or_else(|_| PromDuration::parse(text).map(PromDuration::nanos)).ok()
    };
    a == b
        || (number(a).is_some() && number(a) == number(b))
        || (nanos(a).is_some() && nanos(a) == nanos(b))
}

/// Everything that may be named.
pub(crate) struct Known {
    ours: HashMap<String, (Found, Kind)>,
    our_flags: HashMap<String, Shape>,
    foreign: Vec<Foreign>,
    foreign_paths: HashMap<String, usize>,
    foreign_flags: HashMap<String, usize>,
    /// Section path to the keys in it; the root is the empty path.
    keys: HashMap<String, BTreeSet<String>>,
}

/// What a YAML path is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum At<'a> {
    Ours(&'a Found),
    Foreign(&'a Foreign),
    Section,
}

/// The one instance.
pub(crate) fn known() -> &'static Known {
    static KNOWN: OnceLock<Known> = OnceLock::new();
    KNOWN.get_or_init(Known::build)
}

impl Known {
    fn build() -> Known {
        let mut known = Known {
            ours: HashMap::new(),
            our_flags: HashMap::new(),
            foreign: Vec::new(),
            foreign_paths: HashMap::new(),
            foreign_flags: HashMap::new(),
            keys: HashMap::new(),
        };
        Config::default().walk(&Place::default(), &mut |found, value| {
            let kind = value.kind();
            let shape = if kind == Kind::Bool { Shape::Bool } else { Shape::Valued };
            known.our_flags.insert(found.flag.clone(), shape);
            known.add_keys(&found.path);
            known.ours.insert(found.path.clone(), (found, kind));
        });
        let listed = parse_list(LIST);
        let extra = EXTRA_FLAGS.iter().map(|(flag, is_bool)| Foreign {
            path: String::new(),
            flag: (*flag).to_owned(),
            shape: if *is_bool { Shape::Bool } else { Shape::Valued },
            default: String::new(),
        });
        for option in listed.into_iter().chain(extra) {
            known.add_foreign(option);
        }
        known
    }

    fn add_foreign(&mut self, option: Foreign) {
        if self.ours.contains_key(&option.path) {
            return;
        }
        let at = self.foreign.len();
        if !option.path.is_empty() {
            self.add_keys(&option.path);
            self.foreign_paths.insert(option.path.clone(), at);
        }
        if !option.flag.is_empty() {
            self.foreign_flags.insert(option.flag.clone(), at);
        }
        self.foreign.push(option);
    }

    fn add_keys(&mut self, path: &str) {
        let mut rest = path;
        loop {
            let (section, key) = rest.rsplit_once('.').unwrap_or(("", rest));
            self.keys.entry(section.to_owned()).or_default().insert(key.to_owned());
            if section.is_empty() {
                return;
            }
            rest = section;
        }
    }

    /// What stands at a YAML path.
    pub(crate) fn at(&self, path: &str) -> Option<At<'_>> {
        if let Some((found, _)) = self.ours.get(path) {
            return Some(At::Ours(found));
        }
        if let Some(at) = self.foreign_paths.get(path) {
            return Some(At::Foreign(&self.foreign[*at]));
        }
        self.keys.contains_key(path).then_some(At::Section)
    }

    /// Mimir's option behind a flag that Urd does not have.
    pub(crate) fn foreign_flag(&self, flag: &str) -> Option<&Foreign> {
        self.foreign_flags.get(flag).map(|at| &self.foreign[*at])
    }

    /// How a flag takes its value, for every flag there is.
    pub(crate) fn shape(&self, flag: &str) -> Option<Shape> {
        let action = ACTION_FLAGS.iter().find(|(name, _)| *name == flag).map(|(_, shape)| *shape);
        action
            .or_else(|| self.our_flags.get(flag).copied())
            .or_else(|| self.foreign_flag(flag).map(|foreign| foreign.shape))
    }

    /// What Go says of an unknown flag, and the nearest one there is.
    pub(crate) fn unknown_flag(&self, flag: &str) -> String {
        let ours = self.our_flags.keys().map(String::as_str);
        let actions = ACTION_FLAGS.iter().map(|(name, _)| *name);
        let foreign = self.foreign_flags.keys().map(String::as_str);
        let mut names: Vec<&str> = ours.chain(actions).collect();
        // Sorted, so that of two equally near names it is the same one on every run.
        names.sort_unstable();
        let mut more: Vec<&str> = foreign.collect();
        more.sort_unstable();
        let near = suggest::nearest(flag, names.into_iter().chain(more).filter(|n| !n.is_empty()));
        let hint = near.map_or_else(String::new, |near| format!(", did you mean -{near}?"));
        format!("flag provided but not defined: -{flag}{hint}")
    }

    /// What to say of an unknown key in a section.
    pub(crate) fn unknown_key(&self, section: &str, key: &str) -> String {
        let place = if section.is_empty() { "the configuration" } else { section };
        let siblings = self.keys.get(section).into_iter().flatten().map(String::as_str);
        let mut hint = suggest::hint(key, siblings);
        if hint.is_empty() {
            hint = self.elsewhere(key);
        }
        format!("field {key} not found in {place}{hint}")
    }

    /// The same key, or one near it, in another section.
    fn elsewhere(&self, key: &str) -> String {
        let mut paths: Vec<&str> = self.ours.keys().map(String::as_str).collect();
        paths.sort_unstable();
        let leaf = |path: &&str| path.rsplit('.').next() == Some(key);
        match paths.iter().find(|path| leaf(path)) {
            Some(path) => format!(", did you mean {path}?"),
            None => String::new(),
        }
    }
}

/// The options of a list in the form of `known_mimir.txt`.
fn parse_list(text: &str) -> Vec<Foreign> {
    let mut options = Vec::new();
    let mut sections: Vec<(&str, String)> = Vec::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let body = line.trim_start_matches(' ');
        sections.truncate(line.len() - body.len());
        let prefix = sections.last().map_or("", |(_, prefix)| prefix.as_str());
        let (body, default) = body.split_once(" =").unwrap_or((body, ""));
        let (name, flag) = match body.split_once(" @") {
            Some((name, flag)) => (name, Some(flag)),
            None => (body, None),
        };
        let bare = name.trim_end_matches([':', '?']);
        let implied = format!("{prefix}{}", dashed(bare));
        if name.ends_with(':') {
            let below = flag.map_or_else(|| format!("{implied}."), str::to_owned);
            sections.push((bare, below));
            continue;
        }
        let mut path: Vec<&str> = sections.iter().map(|(section, _)| *section).collect();
        path.push(bare);
        options.push(Foreign {
            path: path.join("."),
            flag: flag.map_or(implied, str::to_owned),
            shape: if name.ends_with('?') { Shape::Bool } else { Shape::Valued },
            default: default.to_owned(),
        });
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_reads_back_to_the_descriptor() {
        let Some(json) = crate::descriptor::reference_descriptor() else { return };
        let entries = crate::descriptor::read(&json).unwrap();
        let fields = crate::descriptor::fields(&entries);
        let listed = parse_list(LIST);
        assert_eq!(listed.len(), fields.len());
        for (ours, theirs) in listed.iter().zip(fields) {
            assert_eq!((&ours.path, &ours.flag), (&theirs.path, &theirs.flag));
            assert_eq!(ours.shape == Shape::Bool, theirs.kind == "boolean", "{}", theirs.path);
            let off = is_off(&ours.default) && is_off(&theirs.default);
            assert!(off || ours.default == theirs.default, "{}", theirs.path);
        }
    }

    #[test]
    fn every_option_is_declared_once() {
        let (mut paths, mut flags) = (BTreeSet::new(), BTreeSet::new());
        Config::default().walk(&Place::default(), &mut |found, _| {
            assert!(paths.insert(found.path.clone()), "{} twice", found.path);
            assert!(found.flag.is_empty() || flags.insert(found.flag.clone()), "{}", found.flag);
            assert!(!found.row.doc.trim().is_empty(), "{} has no documentation", found.path);
        });
        assert!(150 < paths.len());
    }

    #[test]
    fn the_same_value_in_other_words() {
        for (a, b) in [("13h0m0s", "13h"), ("86400s", "1d"), ("1", "1.0"), ("x", "x")] {
            assert!(same(a, b), "{a} {b}");
        }
        for (a, b) in [("13h", "12h"), ("1", "2"), ("true", "false"), ("", "x")] {
            assert!(!same(a, b), "{a} {b}");
        }
    }
}
