//! The program as an operator meets it: start, errors at start, signals. Each test runs the
//! binary on free ports in a directory of its own.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn command(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_urd"));
    command.current_dir(dir).args(args).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs to the end.
fn output(args: &[&str]) -> Output {
    command(&std::env::temp_dir(), args).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Options of a node on free ports of the loopback address.
fn free_ports() -> Vec<String> {
    ["http", "grpc"]
        .iter()
        .flat_map(|name| {
            [
                format!("-server.{name}-listen-address=127.0.0.1"),
                format!("-server.{name}-listen-port=0"),
            ]
        })
        .chain(
            [
                "-auth.multitenancy-enabled=false",
                "-memberlist.bind-addr=127.0.0.1",
                "-memberlist.bind-port=0",
            ]
            .map(str::to_owned),
        )
        .collect()
}

/// A node that has told where it listens.
struct Running {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    http: SocketAddr,
}

impl Running {
    fn start(dir: &Path, extra: &[&str]) -> Self {
        let ports = free_ports();
        let mut args = vec!["-ingester.ring.min-ready-duration=0s"];
        args.extend(ports.iter().map(String::as_str).chain(extra.iter().copied()));
        let mut child = command(dir, &args).spawn().unwrap();
        let mut log = BufReader::new(child.stderr.take().unwrap());
        let line = wait_for(&mut log, "msg=listening");
        let http = line.split_whitespace().find_map(|field| field.strip_prefix("http="));
        let http = http.unwrap().parse().unwrap();
        Self { child, log, http }
    }

    /// The whole answer, with its headers.
    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.http).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn wait_until_ready(&mut self) {
        wait_for(&mut self.log, "msg=running");
        let answer = self.get("/ready");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("ready"), "{answer}");
    }

    fn signal(&self, signal: &str) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args([signal, &pid]).status().unwrap().success());
    }

    /// The exit code and the rest of the log.
    fn end(mut self) -> (Option<i32>, String) {
        let mut rest = String::new();
        self.log.read_to_string(&mut rest).unwrap();
        (self.child.wait().unwrap().code(), rest)
    }
}

/// Reads the log up to a line that contains `text`.
fn wait_for(log: &mut impl BufRead, text: &str) -> String {
    let mut read = String::new();
    loop {
        let mut line = String::new();
        assert_ne!(log.read_line(&mut line).unwrap(), 0, "{text:?} never came:\n{read}");
        if line.contains(text) {
            return line;
        }
        read.push_str(&line);
    }
}

#[test]
fn help_version_and_modules_are_printed() {
    for (flag, want) in [
        ("-help", "-server.http-listen-port"),
        ("--help", "-server.http-listen-port"),
        ("-help-all", "-server.http-idle-timeout"),
        ("-version", "urd, version "),
        ("-modules", "distributor *"),
    ] {
        let output = output(&[flag]);
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success() && stdout.contains(want), "{flag}: {stdout}");
    }
}

#[test]
fn mistakes_on_the_command_line_are_errors() {
    let output = output(&["-server.http-listen-prot=1"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("http-listen-prot") && text.contains("http-listen-port"), "{text}");
}

#[test]
fn sigterm_drains_and_exits_with_0() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(dir.path(), &[]);
    running.wait_until_ready();
    running.signal("-TERM");
    let (code, log) = running.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("msg=stopped"), "{log}");
}

#[test]
fn a_second_signal_ends_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(dir.path(), &["-shutdown-delay=1h"]);
    running.wait_until_ready();
    running.signal("-INT");
    wait_for(&mut running.log, "not ready any more");
    assert!(running.get("/ready").starts_with("HTTP/1.1 503 "));
    running.signal("-TERM");
    let (code, log) = running.end();
    assert_eq!(code, Some(1), "{log}");
}

#[test]
fn a_taken_port_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = format!("-server.http-listen-port={}", taken.local_addr().unwrap().port());
    let args = ["-server.http-listen-address=127.0.0.1", &port];
    let output = command(dir.path(), &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("cannot listen on 127.0.0.1:") && text.contains("in use"), "{text}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was touched");
}

#[test]
fn a_data_directory_in_use_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(dir.path(), &[]);
    running.wait_until_ready();
    let ports = free_ports();
    let args: Vec<&str> = ports.iter().map(String::as_str).collect();
    let output = command(dir.path(), &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("tsdb") && text.contains("used by another process"), "{text}");
    running.child.kill().unwrap();
    running.end();
    // What was killed holds nothing.
    let mut again = Running::start(dir.path(), &[]);
    again.wait_until_ready();
    again.signal("-TERM");
    assert_eq!(again.end().0, Some(0));
}

#[test]
fn a_directory_that_cannot_be_written_is_a_clear_error() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("file"), b"").unwrap();
    let mut args = free_ports();
    args.push("-blocks-storage.tsdb.dir=file/tsdb".to_owned());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = command(dir.path(), &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("directory file/tsdb (-blocks-storage.tsdb.dir) cannot be"), "{text}");
}

#[test]
fn a_wrong_runtime_configuration_is_an_error_at_start() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("limits.yaml"), "overrides:\n  a: {ingestion_rte: 1}\n")
        .unwrap();
    let mut args = free_ports();
    args.push("-runtime-config.file=limits.yaml".to_owned());
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let output = command(dir.path(), &args).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("limits.yaml") && text.contains("ingestion_rte"), "{text}");
}

#[test]
fn the_heap_can_be_profiled() {
    let dir = tempfile::tempdir().unwrap();
    let mut running = Running::start(dir.path(), &[]);
    running.wait_until_ready();
    let head = running.get("/debug/pprof/heap");
    assert!(head.starts_with("HTTP/1.1 200 ") && head.contains("heap.pb.gz"), "{head}");
    running.signal("-TERM");
    assert_eq!(running.end().0, Some(0));
}
