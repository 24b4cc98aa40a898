//! Rules for the tree: which crates may depend on which, what the map must list, no `mod.rs`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

/// The project's own crates that each crate may depend on. Components never import each other.
const EDGES: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("tsdb", &["model"]),
    ("promql", &["model"]),
    ("rt", &["model"]),
    ("config", &["model"]),
    ("wire", &["model"]),
    ("bucket", &["model", "rt"]),
    ("ring", &["model", "config", "rt"]),
    ("distributor", &["model", "wire", "config", "rt", "ring"]),
    ("ingester", &["model", "wire", "tsdb", "config", "rt", "bucket", "ring"]),
    ("store_gateway", &["model", "wire", "tsdb", "config", "rt", "bucket", "ring"]),
    ("compactor", &["model", "tsdb", "config", "rt", "bucket", "ring"]),
    ("query", &["model", "wire", "promql", "tsdb", "config", "rt", "bucket", "ring"]),
    ("rules", &["model", "promql", "config"]),
    ("web", &["model", "config", "rt"]),
    ("rpc", &["model", "wire", "tsdb", "rt"]),
];

/// Everything in the tree that is against the rules.
pub(super) fn problems(root: &Path) -> Result<Vec<String>> {
    let mut problems = Vec::new();
    let map = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap_or_default();
    for name in crates(root)? {
        if !map.contains(&format!("`crates/{name}`")) {
            problems.push(format!("ARCHITECTURE.md does not list `crates/{name}`"));
        }
        let manifest = std::fs::read_to_string(root.join("crates").join(&name).join("Cargo.toml"))?;
        problems.extend(edge_problems(&name, &manifest));
    }
    let workspace = std::fs::read_to_string(root.join("Cargo.toml"))?;
    let allowed = std::fs::read_to_string(root.join("deps.allow"))?;
    problems.extend(dependency_problems(&workspace, &allowed));
    for file in rust_files(root)? {
        if file.ends_with("/mod.rs") {
            problems.push(format!("{file}: a module stands in NAME.rs, not in mod.rs"));
        }
    }
    Ok(problems)
}

fn edge_problems(name: &str, manifest: &str) -> Vec<String> {
    let Some((_, allowed)) = EDGES.iter().find(|(known, _)| *known == name) else {
        return Vec::new();
    };
    let normal = manifest.split("[dev-dependencies]").next().unwrap_or_default();
    let own = EDGES.iter().map(|(own, _)| *own);
    own.filter(|own| normal.lines().any(|line| line.starts_with(&format!("{own}."))))
        .filter(|own| !allowed.contains(own))
        .map(|own| format!("crates/{name} must not depend on {own}"))
        .collect()
}

/// Dependencies from outside without a line in `deps.allow`, and lines without a dependency.
fn dependency_problems(workspace: &str, allowed: &str) -> Vec<String> {
    let section = workspace.split("[workspace.dependencies]").nth(1).unwrap_or_default();
    let lines = section.lines().take_while(|line| !line.starts_with('['));
    let outside = lines.filter(|line| !line.contains("path = "));
    let used: Vec<&str> = outside.filter_map(|line| Some(line.split_once('=')?.0.trim())).collect();
    let lines = allowed.lines().filter(|line| !line.starts_with('#'));
    let listed: Vec<&str> = lines.filter_map(|line| Some(line.split_once(':')?.0)).collect();
    let missing = used.iter().filter(|name| !listed.contains(*name));
    let needless = listed.iter().filter(|name| !used.contains(*name));
    missing
        .map(|name| format!("deps.allow does not say what {name} is for"))
        .chain(needless.map(|name| format!("deps.allow lists {name}, which is not used")))
        .collect()
}

fn crates(root: &Path) -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(root.join("crates"))? {
        names.push(entry?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    Ok(names)
}

/// The Rust files that git knows or could take, relative to the root.
pub(super) fn rust_files(root: &Path) -> Result<Vec<String>> {
    let list = ["ls-files", "--cached", "--others", "--exclude-standard", "*.rs"];
    let output = Command::new("git").current_dir(root).args(list).output().context("run git")?;
    let files = String::from_utf8(output.stdout)?;
    Ok(files.lines().filter(|f| root.join(f).is_file()).map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dependencies_and_their_reasons_match() {
        let workspace = "[workspace.dependencies]\nmodel = { path = \"x\" }\na = \"1\"\nb = \"1\"\n\
                         [workspace.lints.rust]\nc = \"deny\"\n";
        let problems = dependency_problems(workspace, "# reasons\na: for this\nd: for that\n");
        assert_eq!(
            problems,
            ["deps.allow does not say what b is for", "deps.allow lists d, which is not used"]
        );
    }

    #[test]
    fn a_forbidden_edge_is_named() {
        let manifest = "[dependencies]\nmodel.workspace = true\ntsdb.workspace = true\n\
                        [dev-dependencies]\nrt.workspace = true\n";
        assert_eq!(edge_problems("promql", manifest), ["crates/promql must not depend on tsdb"]);
        assert!(edge_problems("tsdb", "[dependencies]\nmodel.workspace = true\n").is_empty());
    }
}
