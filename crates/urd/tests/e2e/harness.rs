//! Starting servers, asking them over HTTP, waiting for a condition with a deadline.

use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long a server may take for anything in these tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    log: Arc<Mutex<VecDeque<String>>>,
    /// `http://127.0.0.1:port`
    pub(crate) url: String,
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: String,
}

impl Answer {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {}", self.body))
    }
}

/// Starts `urd` with its data below `dir`, for one tenant without limits, and waits until it is
/// ready.
pub(crate) fn urd(dir: &Path, extra: &[&str]) -> Server {
    let server = urd_starting(dir, extra);
    server.wait_ready();
    server
}

/// Starts `urd` and waits only until it serves HTTP.
pub(crate) fn urd_starting(dir: &Path, extra: &[&str]) -> Server {
    let mut command = urd_command(dir);
    command.args(extra);
    Server::start(command, "urd")
}

/// The command that starts `urd` with its data below `dir`: the binary of this build, or the one
/// that `URD_E2E_BINARY` names.
pub(crate) fn urd_command(dir: &Path) -> Command {
    let binary = std::env::var("URD_E2E_BINARY").ok();
    let mut command = Command::new(binary.as_deref().unwrap_or(env!("CARGO_BIN_EXE_urd")));
    command.current_dir(dir).args([
        "-auth.multitenancy-enabled=false",
        "-server.http-listen-address=127.0.0.1",
        "-server.http-listen-port=0",
        "-server.grpc-listen-address=127.0.0.1",
        "-server.grpc-listen-port=0",
        "-ingester.ring.replication-factor=1",
        "-memberlist.bind-addr=127.0.0.1",
        "-memberlist.bind-port=0",
        "-ingester.ring.min-ready-duration=0s",
        "-distributor.ingestion-rate-limit=1e12",
        "-distributor.ingestion-burst-size=1000000000",
        "-ingester.max-global-series-per-user=0",
        "-blocks-storage.tsdb.dir=tsdb",
        "-blocks-storage.filesystem.dir=blocks",
        "-blocks-storage.bucket-store.sync-dir=tsdb-sync",
        "-compactor.data-dir=data-compactor",
        "-validation.create-grace-period=100y",
        // The samples of the tests are old: every query reaches every place.
        "-querier.query-ingesters-within=0s",
        "-querier.query-store-after=0s",
    ]);
    command
}

impl Server {
    /// Starts a server that logs the address on which it listens.
    pub(crate) fn start(mut command: Command, name: &str) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("start {name}: {e}"));
        let log = Arc::new(Mutex::new(VecDeque::new()));
        let streams: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let log = Arc::clone(&log);
            std::thread::Builder::new().spawn(move || collect(stream, &log)).unwrap();
        }
        let mut server = Self { child, log, url: String::new() };
        let deadline = Instant::now() + PATIENCE;
        while server.url.is_empty() {
            if let Some(url) = server.log.lock().unwrap().iter().find_map(|l| url_in(l)) {
                server.url = url;
                break;
            }
            if let Some(status) = server.child.try_wait().unwrap() {
                panic!("{name} ended with {status}:\n{}", server.log());
            }
            assert!(Instant::now() < deadline, "{name} does not listen:\n{}", server.log());
            std::thread::park_timeout(Duration::from_millis(10));
        }
        server
    }

    /// What the server has printed.
    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().iter().cloned().collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for `/ready` (or Prometheus' `/-/ready`).
    pub(crate) fn wait_ready(&self) {
        let is_ready = || {
            ["/ready", "/-/ready"]
                .iter()
                .any(|path| self.try_get(path).is_some_and(|a| a.status == 200))
        };
        self.wait_until("the server to be ready", is_ready);
    }

    /// Polls until `condition` holds.
    pub(crate) fn wait_until(&self, what: &str, mut condition: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !condition() {
            assert!(Instant::now() < deadline, "waited in vain for {what}:\n{}", self.log());
            std::thread::park_timeout(Duration::from_millis(50));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap_or_else(|| panic!("GET {path}: no answer:\n{}", self.log()))
    }

    /// The same with headers.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = agent(PATIENCE).get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        answer(request.call().unwrap_or_else(|e| panic!("GET {path}: {e}:\n{}", self.log())))
    }

    /// `None` when the connection broke.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        let response = agent(PATIENCE).get(format!("{}{path}", self.url)).call();
        response.ok().map(answer)
    }

    pub(crate) fn post(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        self.try_post(path, headers, body)
            .unwrap_or_else(|| panic!("POST {path}: no answer:\n{}", self.log()))
    }

    /// `None` when the connection broke.
    pub(crate) fn try_post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Option<Answer> {
        let mut request = agent(PATIENCE).post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send(body).ok().map(answer)
    }

    /// Posts, and returns the body of an answer that must be a success.
    pub(crate) fn post_bytes(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
        let mut request = agent(PATIENCE).post(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response = request.send(body).unwrap();
        assert_eq!(response.status().as_u16(), 200, "POST {path}");
        let mut bytes = Vec::new();
        response.into_body().into_reader().read_to_end(&mut bytes).unwrap();
        bytes
    }

    /// Asks the query API below `prefix` with a form.
    pub(crate) fn api(&self, path: &str, params: &[(&str, &str)]) -> Answer {
        self.api_within(PATIENCE, path, params)
    }

    /// The same for queries that take their time.
    pub(crate) fn api_within(
        &self,
        patience: Duration,
        path: &str,
        params: &[(&str, &str)],
    ) -> Answer {
        let form: String = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(params.iter().copied())
            .finish();
        let request = agent(patience).post(format!("{}{path}", self.url));
        let sent = request
            .header("Content-Type", "application/x-www-form-urlencoded")
            .send(form.as_bytes());
        sent.map(answer).unwrap_or_else(|e| panic!("POST {path}: {e}:\n{}", self.log()))
    }

    /// Kills the process as `kill -9` does.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Sends SIGTERM and waits for the end; its exit code.
    pub(crate) fn terminate(&mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.wait_exit()
    }

    /// Waits for the end; its exit code.
    pub(crate) fn wait_exit(&mut self) -> Option<i32> {
        wait_exit(&mut self.child)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a process to end; its exit code.
pub(crate) fn wait_exit(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        assert!(Instant::now() < deadline, "the process does not end");
        std::thread::park_timeout(Duration::from_millis(10));
    }
}

fn agent(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_global(Some(patience))
        .build()
        .into()
}

/// Gets a whole address; for threads that have no server at hand.
pub(crate) fn fetch(url: &str) -> Result<Answer, String> {
    agent(PATIENCE).get(url).call().map(answer).map_err(|error| error.to_string())
}

/// Posts to a whole address.
pub(crate) fn post_to(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Result<Answer, String> {
    let mut request = agent(PATIENCE).post(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send(body).map(answer).map_err(|error| error.to_string())
}

fn answer(response: http::Response<ureq::Body>) -> Answer {
    let status = response.status().as_u16();
    let mut bytes = Vec::new();
    response.into_body().into_reader().read_to_end(&mut bytes).unwrap();
    Answer { status, body: String::from_utf8_lossy(&bytes).into_owned() }
}

fn collect(stream: impl Read, log: &Mutex<VecDeque<String>>) {
    for line in BufReader::new(stream).lines().map_while(Result::ok) {
        let mut log = log.lock().unwrap();
        if log.len() > 2000 {
            log.pop_front();
        }
        log.push_back(line);
    }
}

fn url_in(line: &str) -> Option<String> {
    let address = |text: &str| {
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != ':');
        let address = &text[..end.unwrap_or(text.len())];
        let port: u16 = address.rsplit_once(':')?.1.parse().ok()?;
        (port > 0).then(|| format!("http://{address}"))
    };
    // Prometheus, Urd, and the script of three nodes, in this order.
    let marks =
        [("Listening on", "address="), ("msg=listening", " http="), ("node-1: ", "http://")];
    let (_, key) = marks.iter().find(|(message, _)| line.contains(message))?;
    address(&line[line.find(key)? + key.len()..])
}

/// A port that nobody uses at this moment.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Below those that the system gives to outgoing connections: one of them must not have it by
    // the time that it is bound. Tests of several processes begin at different ones.
    let start = std::process::id().wrapping_mul(97);
    loop {
        let port = 10_000 + start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 20_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port as u16)) {
            return listener.local_addr().unwrap().port();
        }
    }
}

/// Whether `program` can be started; says so loudly where not.
pub(crate) fn has(program: &str) -> bool {
    let found = Command::new(program).arg("--version").output().is_ok_and(|o| o.status.success());
    if !found {
        eprintln!("SKIPPED: {program} is not installed; `cargo xtask deps` installs it");
    }
    found
}

/// Starts Prometheus with a configuration and its data below `dir`.
pub(crate) fn prometheus(dir: &Path, config: &str, extra: &[&str]) -> Server {
    std::fs::create_dir_all(dir).unwrap();
    let file = dir.join("prometheus.yml");
    std::fs::write(&file, config).unwrap();
    let mut command = Command::new("prometheus");
    command.arg(format!("--config.file={}", file.display())).args(extra);
    let data = format!("--storage.tsdb.path={}", dir.join("data").display());
    for default in ["--web.listen-address=127.0.0.1:0", &data] {
        let name = default.split('=').next().unwrap_or_default();
        if !extra.iter().any(|option| option.starts_with(name)) {
            command.arg(default);
        }
    }
    let server = Server::start(command, "prometheus");
    server.wait_ready();
    server
}

/// Runs a program to its end; what it printed on success.
pub(crate) fn run(program: &str, args: &[&str]) -> String {
    let output = Command::new(program).args(args).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{program} {args:?} failed: {}\n{}",
        text(&output.stdout),
        text(&output.stderr)
    );
    text(&output.stdout)
}
