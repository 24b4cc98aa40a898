//! The texts of `-help`, `-help-all` and `-modules`. Called by `main`, which prints them.

use std::fmt::Write as _;

use crate::Config;
use crate::modules::MODULES;
use crate::table::{Category, Found, Mark, Place, Section};
use crate::value::{Kind, Value};

/// The basic options, or all of them, sorted by flag.
pub fn help(program: &str, all: bool) -> String {
    let mut options = action_options();
    Config::default().walk(&Place::default(), &mut |found, value| {
        let shown = all || found.row.category == Category::Basic;
        if shown && !found.flag.is_empty() && found.row.mark != Mark::Later {
            options.push((found.flag.clone(), option(&found, value)));
        }
    });
    options.sort();
    let mut text = format!("Usage of {program}:\n");
    options.iter().for_each(|(_, option)| text.push_str(option));
    if !all {
        text.push_str("\nTo see all options, use -help-all.\n");
    }
    text
}

/// The modules that `-target` may name, as Mimir lists them.
pub fn modules() -> String {
    let mut text = String::new();
    for module in MODULES {
        let star = if module.in_all { " *" } else { "" };
        let built = if module.alone { "" } else { " (not built yet as a process of its own)" };
        let _ = writeln!(text, "{}{star}{built}", module.name);
    }
    text.push_str("\nModules marked with * are included in target All.\n");
    text
}

fn option(found: &Found, value: &dyn Value) -> String {
    let kind = match value.kind() {
        Kind::Bool => "",
        Kind::TextMap | Kind::NumberMap | Kind::DurationList | Kind::TextList => " value",
        kind => &format!(" {}", kind.name()),
    };
    let tag = match (found.row.category, found.row.mark) {
        (Category::Basic | Category::Advanced, Mark::Urd) => "[urd] ",
        (Category::Basic | Category::Advanced, _) => "",
        (Category::Experimental, _) => "[experimental] ",
        (Category::Deprecated, _) => "[deprecated] ",
    };
    let default = match (value.show(), value.kind()) {
        (text, _) if text.is_empty() => String::new(),
        (text, Kind::Text | Kind::Choice) => format!(" (default \"{text}\")"),
        (text, Kind::Bool | Kind::TextMap | Kind::NumberMap) if text == "false" || text == "{}" => {
            String::new()
        }
        (text, _) => format!(" (default {text})"),
    };
    format!("  -{}{kind}\n    \t{tag}{}{default}\n", found.flag, found.row.doc.trim())
}

fn action_options() -> Vec<(String, String)> {
    [
        ("config.file", " string", "The configuration file, in YAML."),
        (
            "config.expand-env",
            "",
            "Replace ${VAR} and $VAR in the configuration file by the environment.",
        ),
        ("help", "", "Print the basic options."),
        ("help-all", "", "Print all options, advanced and experimental ones too."),
        ("modules", "", "List what -target may name."),
        ("print.config", "", "Print the configuration as it would apply."),
        ("version", "", "Print the version."),
    ]
    .map(|(name, kind, doc)| (name.to_owned(), format!("  -{name}{kind}\n    \t{doc}\n")))
    .into()
}
