//! Every option declared once: flag, YAML name, type, default, category; tenant limits and their
//! reload. `urd` builds the configuration at start and hands each component its own struct.
//!
//! ```text
//! arguments ── CommandLine ── load (file) ── RawConfig ── resolve ── Config, by component
//!                                                                 └─ Overrides ── Limits of a tenant
//! ```
//!
//! ```
//! # fn main() -> Result<(), config::ConfigError> {
//! let args = ["-server.http-listen-port=9000".to_owned()];
//! let line = config::CommandLine::parse(&args)?;
//! let resolved = line.load(&config::process_env)?.resolve()?;
//! assert_eq!(resolved.config.server.http_listen_port, 9000);
//! # Ok(())
//! # }
//! ```

pub mod descriptor;
mod directories;
pub mod docs;
mod document;
mod dump;
mod env;
mod error;
mod flags;
mod help;
mod known;
mod modules;
mod options;
mod profile;
mod protect;
mod raw;
mod resolve;
mod runtime;
mod suggest;
mod table;
mod tenants;
mod user_limits;
mod validate;
mod value;
mod yaml;

pub use directories::DataDirectory;
pub use dump::{DumpMode, dump};
pub use env::process_env;
pub use error::ConfigError;
pub use help::{help, modules};
pub use modules::{MODULES, Module};
pub use options::*;
pub use profile::Profile;
pub use raw::{Action, CommandLine, RawConfig};
pub use resolve::{Resolved, Unsupported};
pub use runtime::{MultiKvSwitches, Overrides, RuntimeConfig};
pub use table::{Category, Found, Mark, Place, Row, Section};
pub use tenants::AllowedTenants;
pub use user_limits::user_limits;
pub use value::{
    ByteSize, CommaList, DurationList, GoDuration, Kind, NumberMap, PromDuration, Secret,
    StringList, StringMap, TrackerMap, Value,
};
pub use yaml::{Node, Out, YamlError, parse as parse_yaml};
