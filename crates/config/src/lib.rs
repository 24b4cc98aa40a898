//! Every option declared once: flag, YAML name, type, default, category; tenant limits and their
//! reload. `urd` builds the configuration at start and hands each component its own struct.

mod options;
mod table;
mod value;
mod yaml;

pub use options::*;
pub use table::{Category, Found, Mark, Place, Row, Section};
pub use value::{
    ByteSize, DurationList, GoDuration, Kind, NumberMap, PromDuration, Secret, StringList,
    StringMap, Value,
};
pub use yaml::{Node, Out, YamlError, parse as parse_yaml};
