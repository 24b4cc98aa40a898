//! Patterns and configuration.

use config::{CommandLine, RuntimeConfig, parse_yaml};
use model::regex::Regex;

/// A pattern, a zero byte, and what it is matched against.
pub(super) fn regex(data: &[u8]) {
    let mut parts = data.splitn(2, |&b| b == 0);
    let pattern = parts.next().unwrap_or_default();
    let value = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let Ok(regex) = Regex::new(pattern) else { return };
    for value in [&*value, "", "a", "\u{212a}ſ\n"] {
        let is_match = regex.is_match(value);
        if let Some(set) = regex.set_matches() {
            assert_eq!(is_match, set.iter().any(|v| v == value), "{pattern:?} on {value:?}");
        }
        if let Some(prefix) = regex.prefix() {
            assert!(!is_match || value.starts_with(prefix), "{pattern:?} on {value:?}");
        }
        assert!(is_match || !regex.matches_everything());
        assert!(!regex.matches_all_but_empty() || is_match != value.is_empty());
        let expanded = regex.captures_expand(value, "$1-${x}$$");
        assert_eq!(expanded.is_some(), is_match, "{pattern:?} on {value:?}");
    }
}

pub(super) fn runtime_config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = parse_yaml(text);
    let Ok(runtime) = RuntimeConfig::parse("runtime.yaml", text) else { return };
    let _ = runtime.clone().merge(runtime);
}

/// Arguments, one on a line.
pub(super) fn config_values(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let no_files = |line: &&str| !line.contains("config.file") && !line.contains("config-file");
    let args: Vec<String> = text.lines().filter(no_files).map(str::to_owned).collect();
    let Ok(line) = CommandLine::parse(&args) else { return };
    let Ok(raw) = line.load(&|_| None) else { return };
    let _ = raw.resolve();
}
