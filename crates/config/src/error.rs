//! Why a configuration is refused. Every message is for an operator: it names the option, the
//! file and the line. Never holds the value of a secret.

use std::path::PathBuf;

use crate::yaml::YamlError;

/// Why a configuration is refused.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The command line is wrong.
    #[error("{0}")]
    Flag(String),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file is no YAML, or what it holds does not fit.
    #[error("{}", show_problems(file, problems))]
    File {
        /// The file.
        file: String,
        /// Everything that is wrong, in the order of the file.
        problems: Vec<YamlError>,
    },
    /// Options that promise protection which Urd does not give yet.
    #[error(
        "refusing to start without the protection that these options promise, because Urd does \
         not have them yet: {}",
        .0.join(", ")
    )]
    Unprotected(Vec<String>),
    /// Values that are wrong by themselves or contradict each other.
    #[error("invalid configuration: {0}")]
    Invalid(String),
}

fn show_problems(file: &str, problems: &[YamlError]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{file}: {problem}")).collect();
    lines.join("\n")
}
