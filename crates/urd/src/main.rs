//! The program `urd`. Everything it does stands in the library beside it.

mod allocator;

fn main() -> std::process::ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    urd::run(&args)
}
