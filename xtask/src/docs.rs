//! `cargo xtask docs`: files that are made from the code. With `check` nothing is written, and a
//! file that would change is an error.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

/// Mimir's option descriptor beside the checkout; it is reference data and not part of the project.
const DESCRIPTOR: &str = "../shared/reference/mimir-config-descriptor.json";

/// Writes the generated files, or compares them.
pub(crate) fn run(check: bool) -> anyhow::Result<()> {
    let root = root();
    settle(
        &root.join("docs/reference/configuration.md"),
        &config::docs::configuration_markdown(),
        check,
    )?;
    let descriptor = root.join(DESCRIPTOR);
    let Ok(json) = std::fs::read_to_string(&descriptor) else {
        // The list of names can only be made where the descriptor is.
        return Ok(());
    };
    let names = config::descriptor::known_list(&json).map_err(anyhow::Error::msg)?;
    settle(&root.join("crates/config/src/known_mimir.txt"), &names, check)
}

fn settle(path: &Path, fresh: &str, check: bool) -> anyhow::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|text| text == fresh) {
        return Ok(());
    }
    if check {
        bail!("{} is stale: run `cargo xtask docs`", path.display());
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("create {}", folder.display()))?;
    }
    std::fs::write(path, fresh).with_context(|| format!("write {}", path.display()))
}

/// The root of the checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}
