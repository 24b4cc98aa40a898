//! Runs test scripts and prints what does not pass: `cargo run --example conformance DIR`.

use std::path::Path;

use promql::testlang::{RunOptions, conformance_report};

#[expect(clippy::print_stdout, reason = "printing is what this example is for")]
fn main() -> Result<(), std::io::Error> {
    let Some(dir) = std::env::args().nth(1) else {
        println!("usage: conformance DIR");
        return Ok(());
    };
    let counts = conformance_report(Path::new(&dir), &RunOptions::default())?;
    let (mut passed, mut total) = (0, 0);
    for count in &counts {
        count.failures.iter().for_each(|failure| println!("{failure}"));
    }
    for count in counts {
        println!("{:30} {:5} / {:5}", count.file, count.passed, count.total);
        (passed, total) = (passed + count.passed, total + count.total);
    }
    println!("{:30} {passed:5} / {total:5}", "all");
    Ok(())
}
