//! The configuration as written: what the command line and the file say, with names checked and
//! values still text. `resolve.rs` makes a `Config` of it. Called by `main`.

use std::path::Path;

use crate::document::{Document, Written};
use crate::env;
use crate::error::ConfigError;
use crate::flags::{self, Given};
use crate::known::{ACTION_FLAGS, known};
use crate::value::Value as _;

/// What the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start.
    Run,
    /// Print the basic options.
    Help,
    /// Print all options.
    HelpAll,
    /// Print the version.
    Version,
    /// Print what `-target` may name.
    Modules,
    /// Print the configuration as it would apply.
    PrintConfig,
}

/// A command line whose flags are all known.
#[derive(Clone, Debug)]
pub struct CommandLine {
    action: Action,
    config_file: Option<String>,
    expand_env: bool,
    flags: Vec<Given>,
}

/// The configuration as written, before defaults, profile and checks.
#[derive(Clone, Debug)]
pub struct RawConfig {
    pub(crate) file: Option<ConfigFile>,
    pub(crate) flags: Vec<Given>,
}

/// A configuration file that was read.
#[derive(Clone, Debug)]
pub(crate) struct ConfigFile {
    pub(crate) name: String,
    pub(crate) text: String,
    pub(crate) values: Vec<Written>,
}

impl CommandLine {
    /// Reads the arguments that follow the program's name.
    pub fn parse(args: &[String]) -> Result<CommandLine, ConfigError> {
        let names = known();
        let shape = |name: &str| names.shape(name);
        let unknown = |name: &str| names.unknown_flag(name);
        let given = flags::split(args, &shape, &unknown).map_err(ConfigError::Flag)?;
        let mut line = CommandLine {
            action: Action::Run,
            config_file: None,
            expand_env: false,
            flags: Vec::new(),
        };
        for flag in given {
            if ACTION_FLAGS.iter().any(|(name, _)| *name == flag.name) {
                line.act(&flag)?;
            } else {
                line.flags.push(flag);
            }
        }
        Ok(line)
    }

    /// What it asks for.
    pub fn action(&self) -> Action {
        self.action
    }

    fn act(&mut self, flag: &Given) -> Result<(), ConfigError> {
        if flag.name == "config.file" {
            self.config_file = Some(flag.value.clone()).filter(|file| !file.is_empty());
            return Ok(());
        }
        let mut on = false;
        on.set_flag(&flag.value).map_err(|error| ConfigError::Flag(bad_bool(flag, &error)))?;
        let action = match flag.name.as_str() {
            "config.expand-env" => {
                self.expand_env = on;
                return Ok(());
            }
            "version" => Action::Version,
            "modules" => Action::Modules,
            "print.config" => Action::PrintConfig,
            "help-all" => Action::HelpAll,
            _ => Action::Help,
        };
        if on {
            self.action = action;
        }
        Ok(())
    }

    /// Reads the configuration file, if one is named. `env` stands for the environment under
    /// `-config.expand-env` ([`env::process_env`] outside of tests).
    pub fn load(self, env: &dyn Fn(&str) -> Option<String>) -> Result<RawConfig, ConfigError> {
        let Some(name) = self.config_file else {
            return Ok(RawConfig { file: None, flags: self.flags });
        };
        let text = std::fs::read_to_string(&name)
            .map_err(|source| ConfigError::Read { path: Path::new(&name).to_path_buf(), source })?;
        let expanded = if self.expand_env { env::expand(&text, env) } else { text.clone() };
        let values = Document::config()
            .read(&expanded)
            .map_err(|problems| ConfigError::File { file: name.clone(), problems })?;
        Ok(RawConfig { file: Some(ConfigFile { name, text, values }), flags: self.flags })
    }
}

impl RawConfig {
    /// The text of the configuration file as it stands on disk, of which Mimir exposes the hash.
    pub fn file_text(&self) -> Option<&str> {
        self.file.as_ref().map(|file| file.text.as_str())
    }
}

/// Go's words for a boolean flag with another value.
pub(crate) fn bad_bool(flag: &Given, error: &str) -> String {
    format!("invalid boolean value {:?} for -{}: {error}", flag.value, flag.name)
}
