//! Writes the seeds of every target into a folder each. Started by `cargo xtask fuzz`.
use std::path::Path;

use fuzz::TARGETS;
use fuzz::seeds::Seeds;

fn main() -> std::io::Result<()> {
    let folder = std::env::args().nth(1).unwrap_or_else(|| "corpus".to_owned());
    let seeds = Seeds::default();
    for target in TARGETS {
        let folder = Path::new(&folder).join(target.name);
        std::fs::create_dir_all(&folder)?;
        for (number, seed) in (target.seeds)(&seeds).iter().enumerate() {
            std::fs::write(folder.join(format!("seed-{number:05}")), seed)?;
        }
    }
    Ok(())
}
