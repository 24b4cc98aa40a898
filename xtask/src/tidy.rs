//! The structure rules, as a command and as a test: what a reviewer should not have to say twice.

mod rust;
mod tree;

use anyhow::{Result, bail};

use crate::commands::{root, say};

/// Fails with a list of everything that is against the rules.
pub(crate) fn run() -> Result<()> {
    let mut problems = tree::problems(&root())?;
    for file in tree::rust_files(&root())? {
        let text = std::fs::read_to_string(root().join(&file))?;
        problems.extend(rust::problems(&file, &text));
    }
    if problems.is_empty() {
        return Ok(());
    }
    problems.iter().for_each(|problem| say(problem));
    bail!("{} rules broken", problems.len())
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_tree_is_tidy() {
        super::run().unwrap();
    }
}
