//! The page at `/`: where the other pages are.

use std::fmt::Write;

use axum::extract::State;
use axum::response::Response;

use super::Shared;
use crate::api::IndexLink;
use model::html::escape_html;

use crate::reply::page;

/// The pages of this crate.
const OWN: &[(&str, &str, &str)] = &[
    ("Status", "/ready", "Readiness"),
    ("Status", "/services", "Services and their states"),
    ("Status", "/metrics", "Metrics"),
    ("Configuration", "/config", "Configuration"),
    ("Configuration", "/config?mode=diff", "Configuration that differs from the defaults"),
    ("Configuration", "/config?mode=defaults", "Default configuration"),
    ("Configuration", "/runtime_config", "Limits of tenants"),
    ("Configuration", "/runtime_config?mode=diff", "Limits of tenants that differ"),
    ("Debugging", "/debug/pprof/", "Profiles of CPU and memory"),
    ("Debugging", "/debug/memory", "Statistics of the allocator"),
];

pub(super) async fn index(State(admin): Shared) -> Response {
    let own =
        OWN.iter().map(|&(section, path, text)| IndexLink { section, path: path.to_owned(), text });
    let links: Vec<IndexLink> = own.chain(admin.links.iter().cloned()).collect();
    let prefix = admin.config.server.http_path_prefix.trim_end_matches('/');
    page("Urd", &list(&links, prefix))
}

/// One list a section, in the order in which the sections first appear.
fn list(links: &[IndexLink], prefix: &str) -> String {
    let mut sections: Vec<&str> = Vec::new();
    for link in links {
        if !sections.contains(&link.section) {
            sections.push(link.section);
        }
    }
    let mut html = String::new();
    for section in sections {
        let _ = write!(html, "<h2>{}</h2>\n<ul>\n", escape_html(section)); // A String takes everything.
        for link in links.iter().filter(|link| link.section == section) {
            let (path, text) =
                (escape_html(&format!("{prefix}{}", link.path)), escape_html(link.text));
            let _ = writeln!(html, "<li><a href=\"{path}\">{text}</a> <code>{path}</code></li>");
        }
        html.push_str("</ul>\n");
    }
    html
}
