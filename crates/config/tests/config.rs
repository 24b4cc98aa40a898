//! The crate from outside, as `main` uses it: arguments and a file in, a configuration or a
//! message out.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::io::Write as _;

use config::{
    Action, CommandLine, Config, ConfigError, DumpMode, GoDuration, KvBackend, LogFormat,
    Overrides, Profile, PromDuration, Resolved, Unsupported, WalFsync, dump,
};
use model::TenantId;

fn env(name: &str) -> Option<String> {
    (name == "PORT").then(|| "9001".to_owned())
}

fn owned(args: &[&str]) -> Vec<String> {
    args.iter().map(|arg| (*arg).to_owned()).collect()
}

fn resolve(args: &[&str]) -> Result<Resolved, ConfigError> {
    CommandLine::parse(&owned(args))?.load(&env)?.resolve()
}

/// A configuration from flags and a file named `urd.yaml`.
fn resolve_file(yaml: &str, args: &[&str]) -> Result<Resolved, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("urd.yaml");
    std::fs::write(&path, yaml).unwrap();
    let file = format!("-config.file={}", path.display());
    let args: Vec<&str> = std::iter::once(file.as_str()).chain(args.iter().copied()).collect();
    resolve(&args)
}

fn message(result: Result<Resolved, ConfigError>) -> String {
    result.expect_err("this configuration must be refused").to_string()
}

fn refused(args: &[&str], expected: &str) {
    assert_eq!(message(resolve(args)), expected, "{args:?}");
}

/// The messages of a file, without its folder.
fn file_refused(yaml: &str, expected: &[&str]) {
    let text = message(resolve_file(yaml, &[]));
    let lines: Vec<&str> =
        text.lines().map(|line| line.split("urd.yaml: ").last().unwrap()).collect();
    assert_eq!(lines, expected, "{yaml}");
}

fn unsupported(resolved: &Resolved) -> Vec<&str> {
    resolved.unsupported.iter().map(|item| item.option.as_str()).collect()
}

#[test]
fn flags_of_every_type() {
    let config = resolve(&[
        "-target=all",
        "--server.http-listen-port",
        "9000",
        "-auth.multitenancy-enabled=false",
        "-blocks-storage.tsdb.dir=/tmp/x",
        "--blocks-storage.tsdb.ship-interval=90s",
        "-blocks-storage.tsdb.wal-compression-enabled",
        "-blocks-storage.tsdb.wal-fsync=always",
        "-distributor.ingestion-rate-limit=1e6",
        "-querier.query-ingesters-within=2d",
        "-distributor.drop-label=a",
        "-distributor.drop-label=b",
        "-log.format=json",
        "-querier.max-concurrent=5",
        "-querier.max-concurrent=6",
    ])
    .unwrap()
    .config;
    assert_eq!(config.server.http_listen_port, 9000);
    assert!(!config.multitenancy_enabled);
    assert_eq!(config.blocks_storage.tsdb.dir, "/tmp/x");
    assert_eq!(config.blocks_storage.tsdb.ship_interval, GoDuration::from_secs(90));
    assert!(config.blocks_storage.tsdb.wal_compression_enabled);
    assert_eq!(config.blocks_storage.tsdb.wal_fsync, WalFsync::Always);
    assert_eq!(config.limits.ingestion_rate, 1e6);
    assert_eq!(config.limits.query_ingesters_within, PromDuration::from_secs(172_800));
    assert_eq!(config.limits.drop_labels.0, ["a", "b"]);
    assert_eq!(config.server.log_format, LogFormat::Json);
    assert_eq!(config.querier.max_concurrent, 6);
}

#[test]
fn wrong_flags_have_the_messages_of_go() {
    refused(
        &["-server.http-listn-port=80"],
        "flag provided but not defined: -server.http-listn-port, did you mean \
         -server.http-listen-port?",
    );
    refused(&["-no-such-thing-at-all"], "flag provided but not defined: -no-such-thing-at-all");
    refused(
        &["-server.http-listen-port=x"],
        "invalid value \"x\" for flag -server.http-listen-port: parse error",
    );
    refused(
        &["-server.http-listen-port=70000"],
        "invalid value \"70000\" for flag -server.http-listen-port: value out of range, it must \
         be between 0 and 65535",
    );
    refused(
        &["-auth.multitenancy-enabled=maybe"],
        "invalid boolean value \"maybe\" for -auth.multitenancy-enabled: parse error",
    );
    refused(
        &["-querier.timeout=5"],
        "invalid value \"5\" for flag -querier.timeout: time: missing unit in duration \"5\"",
    );
    refused(&["-querier.timeout"], "flag needs an argument: -querier.timeout");
    refused(
        &["-log.level=loud"],
        "invalid value \"loud\" for flag -log.level: unsupported value \"loud\", supported \
         values: info, debug, warn, error",
    );
}

#[test]
fn actions() {
    for (args, expected) in [
        (&[][..], Action::Run),
        (&["-help"], Action::Help),
        (&["-h"], Action::Help),
        (&["--help-all"], Action::HelpAll),
        (&["-version"], Action::Version),
        (&["-modules", "-target=all"], Action::Modules),
        (&["-print.config", "-target=all"], Action::PrintConfig),
        (&["-version=false"], Action::Run),
    ] {
        assert_eq!(CommandLine::parse(&owned(args)).unwrap().action(), expected, "{args:?}");
    }
}

#[test]
fn the_file_is_read_and_flags_win() {
    let yaml = "
multitenancy_enabled: false
server:
  http_listen_port: 9000
  log_level: debug
  http_server_read_timeout: 1m30s
limits:
  max_global_series_per_user: 1e6
  ingestion_rate: .inf
  past_grace_period: 1d
  active_series_custom_trackers: {}
blocks_storage:
  storage_prefix: blocks
  filesystem: {dir: /data/bucket}
  tsdb:
    dir: /data/tsdb
    block_ranges_period: [2h]
runtime_config:
  file: a.yaml,b.yaml
";
    let resolved = resolve_file(yaml, &["-server.http-listen-port=9001"]).unwrap();
    let config = resolved.config;
    assert_eq!(resolved.profile, Profile::Mimir);
    assert!(!config.multitenancy_enabled);
    assert_eq!(config.server.http_listen_port, 9001);
    assert_eq!(config.server.http_server_read_timeout, GoDuration::from_secs(90));
    assert_eq!(config.limits.max_global_series_per_user, 1_000_000);
    assert!(config.limits.ingestion_rate.is_infinite());
    assert_eq!(config.blocks_storage.bucket.storage_prefix, "blocks");
    assert_eq!(config.blocks_storage.bucket.filesystem.dir, "/data/bucket");
    assert_eq!(config.runtime_config.file.0, ["a.yaml", "b.yaml"]);
    assert_eq!(resolved.unsupported, []);
}

#[test]
fn an_empty_file_is_mimirs_defaults() {
    for yaml in ["", "---\n", "server:\n", "# nothing\n"] {
        assert_eq!(resolve_file(yaml, &[]).unwrap().config, Config::default(), "{yaml:?}");
    }
}

#[test]
fn wrong_files_name_line_field_and_the_nearest_name() {
    file_refused(
        "server:\n  http_listen_prot: 80\n",
        &["line 2: field http_listen_prot not found in server, did you mean http_listen_port?"],
    );
    file_refused(
        "sever: {}\nquerier:\n  tsdb: 1\n",
        &[
            "line 1: field sever not found in the configuration, did you mean server?",
            "line 3: field tsdb not found in querier",
        ],
    );
    file_refused(
        "querier:\n  max_fetched_series_per_query: 5\n",
        &["line 2: field max_fetched_series_per_query not found in querier, did you mean \
           limits.max_fetched_series_per_query?"],
    );
    file_refused(
        "server:\n  http_listen_port: many\n  log_level: 5\n",
        &[
            "line 2: server.http_listen_port: cannot use \"many\" as a whole number",
            "line 3: server.log_level: unsupported value \"5\", supported values: info, debug, \
             warn, error",
        ],
    );
    file_refused("target: all\ntarget: all\n", &["line 2: mapping key \"target\" already defined"]);
    file_refused("server: 5\n", &["line 1: cannot use \"5\" as server: it is a map"]);
    file_refused("- a\n", &["line 1: cannot use a list as the configuration: it is a map"]);
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let text = message(resolve(&["-config.file=/nonexistent/urd.yaml"]));
    assert!(text.starts_with("cannot read /nonexistent/urd.yaml: "), "{text}");
}

#[test]
fn the_environment_is_put_in_only_when_asked() {
    let yaml = "server:\n  http_listen_port: ${PORT}\n  http_path_prefix: ${NONE:/x}\n";
    let config = resolve_file(yaml, &["-config.expand-env"]).unwrap().config;
    assert_eq!(config.server.http_listen_port, 9001);
    assert_eq!(config.server.http_path_prefix, "/x");
    assert!(resolve_file(yaml, &[]).is_err());
    assert!(resolve_file(yaml, &["-config.expand-env=false"]).is_err());
}

#[test]
fn the_common_storage_is_where_the_blocks_start_from() {
    let dir = |result: Result<Resolved, ConfigError>| {
        result.unwrap().config.blocks_storage.bucket.filesystem.dir
    };
    let common = "common: {storage: {filesystem: {dir: /common}}}\n";
    let both = format!("blocks_storage: {{filesystem: {{dir: /own}}}}\n{common}");
    let common_flag = "-common.storage.filesystem.dir=/flag";
    assert_eq!(dir(resolve_file(common, &[])), "/common");
    assert_eq!(dir(resolve_file(&both, &[])), "/own");
    // The common flag wins over the file, and the own flag over the common one.
    assert_eq!(dir(resolve_file(&both, &[common_flag])), "/flag");
    let own_flag = "-blocks-storage.filesystem.dir=/own-flag";
    assert_eq!(dir(resolve_file(&both, &[own_flag, common_flag])), "/own-flag");
}

#[test]
fn options_that_urd_lacks_are_listed() {
    let resolved = resolve_file(
        "
memberlist:
  join_members: [a, b]
  tls_enabled: false
frontend: {cache_results: true, parallelize_shardable_queries: false}
limits: {ruler_tenant_shard_size: 5, ha_replica_label: __replica__}
compactor: {compaction_interval: 1h}
usage_stats: {enabled: false}
",
        &["-query-frontend.log-queries-longer-than=1s", "-alertmanager.configs.poll-interval=20m"],
    )
    .unwrap();
    // Values that are Mimir's defaults, or what Urd does anyway, are not worth a warning.
    assert_eq!(
        unsupported(&resolved),
        [
            "-alertmanager.configs.poll-interval",
            "-query-frontend.cache-results",
            "-ruler.tenant-shard-size",
        ]
    );
    let origin = |item: &Unsupported| item.to_string().split('/').next_back().unwrap().to_owned();
    let origins: Vec<String> = resolved.unsupported.iter().map(origin).collect();
    assert_eq!(origins[0], "-alertmanager.configs.poll-interval (command line)");
    assert_eq!(origins[2], "urd.yaml:6)");
    // A boolean that Urd lacks takes no argument either.
    let resolved = resolve(&["-query-frontend.cache-results", "-target=all"]).unwrap();
    assert_eq!(unsupported(&resolved), ["-query-frontend.cache-results"]);
}

#[test]
fn options_that_promise_protection_are_refused() {
    let text = message(resolve_file(
        "frontend:\n  grpc_client_config:\n    tls_enabled: true\nlimits:\n  blocked_queries:\n    - pattern: x\n",
        &["-server.http-conn-limit=5"],
    ));
    for part in [
        "-query-frontend.grpc-client-config.tls-enabled",
        "limits.blocked_queries",
        "-server.http-conn-limit",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(text.contains("urd.yaml:3)"), "{text}");
    // Switched off, they promise nothing.
    resolve(&["-server.http-conn-limit=0", "-memberlist.tls-enabled=false"]).unwrap();
    resolve_file("limits: {blocked_queries: []}\nserver: {tls_min_version: ''}\n", &[]).unwrap();
}

#[test]
fn targets() {
    for target in ["all", "ingester", "distributor", "querier,store-gateway", "compactor"] {
        assert!(resolve(&[&format!("-target={target}")]).is_ok(), "{target}");
    }
    refused(
        &["-target=ruler"],
        "invalid configuration: -target=ruler is not built yet: a process can run all, compactor, \
         distributor, ingester, querier and store-gateway, and lists of them",
    );
    refused(
        &["-target=all,ingestr"],
        "invalid configuration: unrecognised module name: ingestr, did you mean ingester?",
    );
    refused(&["-target="], "invalid configuration: no modules specified");
}

#[test]
fn contradictions_have_mimirs_messages() {
    const LOOKBACK: &str = "invalid configuration: the -querier.query-ingesters-within setting \
        must be greater than -querier.query-store-after otherwise queries might return partial \
        results";
    refused(&["-querier.query-ingesters-within=12h"], LOOKBACK);
    refused(&["-querier.query-store-after=13h"], LOOKBACK);
    for args in [
        ["-querier.query-ingesters-within=0"],
        ["-querier.query-store-after=0"],
        ["-ingester.client.grpc-compression=s2"],
        ["-querier.store-gateway-client.grpc-compression=snappy"],
    ] {
        assert!(resolve(&args).is_ok(), "{args:?}");
    }
    for (arg, expected) in [
        ("-blocks-storage.tsdb.ship-concurrency=0", "invalid TSDB ship concurrency"),
        ("-blocks-storage.tsdb.head-compaction-interval=0", "invalid TSDB compaction interval"),
        ("-blocks-storage.tsdb.head-compaction-interval=16m", "invalid TSDB compaction interval"),
        (
            "-blocks-storage.tsdb.head-compaction-concurrency=0",
            "invalid TSDB compaction concurrency",
        ),
        ("-blocks-storage.tsdb.stripe-size=3", "invalid TSDB stripe size"),
        ("-blocks-storage.tsdb.wal-segment-size-bytes=0", "invalid TSDB WAL segment size bytes"),
        ("-blocks-storage.tsdb.block-ranges-period=", "empty block ranges for TSDB"),
        (
            "-blocks-storage.storage-prefix=a/b",
            "storage prefix contains invalid characters, it may only contain digits and English \
             alphabet letters",
        ),
        (
            "-blocks-storage.backend=swift",
            "-blocks-storage.backend: the backend swift is not built yet",
        ),
        ("-blocks-storage.backend=s3", "-blocks-storage.s3.bucket-name must not be empty"),
        ("-blocks-storage.backend=gcs", "-blocks-storage.gcs.bucket-name must not be empty"),
        ("-blocks-storage.backend=azure", "-blocks-storage.azure.container-name must not be empty"),
        (
            "-blocks-storage.bucket-store.chunks-cache.backend=memcached",
            "no memcached addresses provided: set \
             -blocks-storage.bucket-store.chunks-cache.memcached.addresses",
        ),
        ("-ingester.ring.store=etcd", "-ingester.ring.etcd.endpoints must not be empty"),
        (
            "-compactor.ring.store=multi",
            "-compactor.ring.multi.primary and -compactor.ring.multi.secondary must be set",
        ),
        ("-ingester.ring.store=consul", "-ingester.ring.store: the store consul is not built yet"),
        (
            "-ingester.client.grpc-compression=zstd",
            "invalid ingester_client config: unsupported compression type: \"zstd\"",
        ),
        (
            "-server.path-prefix=x",
            "-server.path-prefix: HTTP prefix should be empty or start with /",
        ),
        (
            "-blocks-storage.tsdb.dir=blocks/tsdb",
            "the configured blocks storage filesystem directory \"blocks\" cannot overlap with the \
             configured tsdb directory \"blocks/tsdb\"; please set different paths, also ensuring \
             one is not a subdirectory of the other one",
        ),
        (
            "-auth.no-auth-tenant=a/b",
            "-auth.no-auth-tenant: tenant ID 'a/b' contains unsupported character '/'",
        ),
    ] {
        refused(&[arg], &format!("invalid configuration: {expected}"));
    }
}

#[test]
fn a_shared_configuration_is_checked_for_the_components_of_the_process() {
    // As Mimir's Helm chart has it: the paths overlap, but no process uses two of them.
    let chart = "\
blocks_storage:
  tsdb: {dir: /data/tsdb}
  bucket_store: {sync_dir: /data/tsdb-sync}
  backend: filesystem
  filesystem: {dir: /bucket}
compactor: {data_dir: /data}
";
    for target in ["ingester", "store-gateway", "compactor", "distributor", "querier"] {
        let resolved = resolve_file(chart, &[&format!("-target={target}")]);
        assert!(resolved.is_ok(), "{target}: {}", message(resolved));
    }
    assert!(message(resolve_file(chart, &["-target=all"])).contains("cannot overlap"));

    let stores = "distributor: {ring: {kvstore: {store: consul}}}";
    assert!(resolve_file(stores, &["-target=compactor"]).is_ok());
    assert!(message(resolve_file(stores, &["-target=distributor"])).contains("consul"));

    for (arg, expected) in [
        (
            "-ingester.ring.num-tokens=0",
            "ring tokens can only be disabled when gRPC push is disabled",
        ),
        (
            "-ingester.ring.spread-minimizing-join-ring-in-order=true",
            "\"spread-minimizing-join-ring-in-order\" must be false when using \"random\" token \
             generation strategy",
        ),
    ] {
        refused(&[arg], &format!("invalid configuration: {expected}"));
        assert!(resolve(&[arg, "-target=querier"]).is_ok(), "a querier has no tokens: {arg}");
    }
}

#[test]
fn the_bare_start_and_what_ends_it() {
    let bare = resolve(&[]).unwrap();
    assert_eq!(bare.profile, Profile::Bare);
    assert_eq!(
        dump(&bare.config, DumpMode::Diff),
        "\
multitenancy_enabled: false
server:
  http_listen_address: \"127.0.0.1\"
  grpc_listen_address: \"127.0.0.1\"
distributor:
  ring:
    kvstore:
      store: inmemory
ingester:
  ring:
    replication_factor: 1
    min_ready_duration: 0s
    kvstore:
      store: inmemory
activity_tracker:
  filepath: ./data/metrics-activity.log
limits:
  ingestion_rate: .inf
  max_global_series_per_user: 0
blocks_storage:
  filesystem:
    dir: ./data/blocks
  bucket_store:
    sync_dir: ./data/tsdb-sync
  tsdb:
    dir: ./data/tsdb
store_gateway:
  sharding_ring:
    replication_factor: 1
    kvstore:
      store: inmemory
compactor:
  data_dir: ./data/compactor
  sharding_ring:
    kvstore:
      store: inmemory
urd:
  self_scrape_interval: 15s
"
    );
    for arg in [
        "-target=all",
        "-server.http-listen-port=8080",
        "-auth.multitenancy-enabled=true",
        "-ingester.ring.replication-factor=3",
        "-store-gateway.sharding-ring.replication-factor=3",
        "-blocks-storage.tsdb.dir=./tsdb/",
        "-common.storage.backend=filesystem",
    ] {
        let resolved = resolve(&[arg]).unwrap();
        let mut want = Config::default();
        // Who asks for three copies gets as many, or an error.
        want.urd.single_copy_while_alone = !arg.starts_with("-ingester.ring.replication-factor");
        assert_eq!((resolved.profile, resolved.config), (Profile::Mimir, want), "{arg}");
    }
    // Limits and the log do not end it, and win over it.
    let resolved = resolve(&["-log.level=debug", "-distributor.ingestion-rate-limit=5"]).unwrap();
    assert_eq!(resolved.profile, Profile::Bare);
    assert_eq!(resolved.config.limits.ingestion_rate, 5.0);
    assert_eq!(resolved.config.ingester.ring.kvstore.store, KvBackend::Inmemory);
}

#[test]
fn a_dump_loads_to_the_same_configuration() {
    let args = ["-distributor.drop-label=a", "-querier.timeout=1m", "-log.level=warn"];
    for config in [Config::default(), resolve(&args).unwrap().config] {
        let again = resolve_file(&dump(&config, DumpMode::Full), &[]).unwrap();
        assert_eq!(again.config, config);
    }
    assert_eq!(dump(&Config::default(), DumpMode::Diff), "{}\n");
    let bare = resolve(&[]).unwrap().config;
    assert_eq!(dump(&bare, DumpMode::Defaults), dump(&Config::default(), DumpMode::Full));
    assert_eq!(DumpMode::parse("diff"), Some(DumpMode::Diff));
    assert_eq!(DumpMode::parse("x"), None);
}

#[test]
fn help_shows_basic_options_and_help_all_the_others() {
    let (basic, all) = (config::help("urd", false), config::help("urd", true));
    let port = "  -server.http-listen-port int\n    \tPort that the HTTP server listens on; 0 takes \
                any free one. (default 8080)\n";
    assert!(basic.contains(port) && all.contains(port), "{basic}");
    assert!(!basic.contains("-blocks-storage.tsdb.stripe-size"));
    assert!(all.contains("-blocks-storage.tsdb.stripe-size int"));
    assert!(all.contains("  -auth.multitenancy-enabled\n"), "{all}");
    assert!(basic.contains("-config.file string") && basic.contains("-help-all"));
    assert!(config::modules().contains("ingester *"));
}

struct Files {
    folder: tempfile::TempDir,
    overrides: Overrides,
}

impl Files {
    fn new(names: &[&str]) -> Files {
        let folder = tempfile::tempdir().unwrap();
        let paths: Vec<String> =
            names.iter().map(|name| folder.path().join(name).display().to_string()).collect();
        let arg = format!("-runtime-config.file={}", paths.join(","));
        let overrides = Overrides::new(&resolve(&["-target=all", &arg]).unwrap().config);
        Files { folder, overrides }
    }

    fn write(&self, name: &str, text: &str) {
        let mut file = std::fs::File::create(self.folder.path().join(name)).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }

    fn series(&self, tenant: &str) -> u64 {
        let tenant = TenantId::new(tenant).unwrap();
        self.overrides.limits(&tenant).max_global_series_per_user
    }

    fn refused(&self, text: &str, expected: &str) {
        self.write("a", text);
        let error = self.overrides.reload().expect_err("must be refused").to_string();
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn overrides_are_reloaded() {
    let files = Files::new(&["a"]);
    assert_eq!(files.series("x"), 150_000);
    assert!(files.overrides.reload().is_err(), "the file does not exist yet");
    files.write("a", "overrides:\n  x:\n    max_global_series_per_user: 5\n");
    assert!(files.overrides.reload().unwrap());
    assert!(!files.overrides.reload().unwrap(), "nothing has changed");
    assert_eq!((files.series("x"), files.series("y")), (5, 150_000));
    let x = files.overrides.limits(&TenantId::new("x").unwrap());
    assert_eq!(x.ingestion_rate, 10_000.0, "what is not overridden is the default");
    files.write("a", "");
    assert!(files.overrides.reload().unwrap());
    assert_eq!(files.series("x"), 150_000);
    assert_eq!(x.max_global_series_per_user, 5, "a request keeps the limits it began with");
}

#[test]
fn later_files_win_limit_by_limit() {
    let files = Files::new(&["a", "b"]);
    files.write("a", "overrides: {x: {max_global_series_per_user: 5, ingestion_rate: 7}}\n");
    files.write("b", "overrides: {x: {max_global_series_per_user: 6}, y:}\n");
    assert!(files.overrides.reload().unwrap());
    assert_eq!(files.series("x"), 6);
    let x = files.overrides.limits(&TenantId::new("x").unwrap());
    assert_eq!(x.ingestion_rate, 7.0);
    assert_eq!(files.overrides.overridden().len(), 2);
}

#[test]
fn a_bad_reload_keeps_what_was() {
    let files = Files::new(&["a"]);
    files.write("a", "overrides: {x: {max_global_series_per_user: 5}}\n");
    files.overrides.reload().unwrap();
    files.refused(
        "overrides:\n  x:\n    max_globl_series_per_user: 5\n",
        "a: line 3: field max_globl_series_per_user not found in limits, did you mean \
         max_global_series_per_user?",
    );
    files
        .refused("overrides:\n  x: {ingestion_rate: fast}\n", "a: line 2: limits.ingestion_rate: ");
    files.refused("overrides: [x]\n", "a: line 1: overrides is a map of tenants");
    files.refused("overides: {}\n", "did you mean overrides?");
    files.refused(
        "overrides: {x: {query_ingesters_within: 1h}}\n",
        "overrides of tenant x: the -querier.query-ingesters-within setting must be greater than \
         -querier.query-store-after otherwise queries might return partial results",
    );
    files.refused("overrides: {x: {blocked_queries: [{pattern: a}]}}\n", "limits.blocked_queries");
    files.refused("ingester_limits: {max_serie: 5}\n", "did you mean max_series?");
    files.refused("ingester_limits: {max_series: many}\n", "a: line 1: ");
    files.refused("multi_kv_config: {mirror_enabled: 3}\n", "mirror_enabled is true or false");
    files.refused("multi_kv_config: {secondary: x}\n", "has primary and mirror_enabled");
    assert_eq!(files.series("x"), 5);
}

#[test]
fn overrides_that_urd_lacks_are_listed() {
    let files = Files::new(&["a"]);
    files.write(
        "a",
        "ingester_stream_chunks_when_using_blocks: true\noverrides:\n  x:\n    ruler_max_rules_per_rule_group: 5\n    metric_relabel_configs: [{action: drop}]\n",
    );
    files.overrides.reload().unwrap();
    let names: Vec<String> =
        files.overrides.unsupported().into_iter().map(|item| item.option).collect();
    assert_eq!(
        names,
        [
            "ingester_stream_chunks_when_using_blocks",
            "limits.ruler_max_rules_per_rule_group",
            "limits.metric_relabel_configs",
        ]
    );
}

/// As in Mimir: what is not named keeps the value of the configuration.
#[test]
fn bounds_of_the_process_and_the_stores_of_multi_are_switched_while_it_runs() {
    let files = Files::new(&["a", "b"]);
    files.write("b", "overrides:\n");
    files.write(
        "a",
        "ingester_limits: {max_series: 5}\ndistributor_limits: {max_ingestion_rate: 7.5}\n\
         multi_kv_config: {primary: etcd, mirror_enabled: true}\n",
    );
    assert_eq!(files.overrides.ingester_limits(), None);
    files.overrides.reload().unwrap();
    let defaults = Config::default();
    let ingester = files.overrides.ingester_limits().unwrap();
    let expected =
        config::IngesterInstanceLimits { max_series: 5, ..defaults.ingester.instance_limits };
    assert_eq!(ingester, expected);
    assert_eq!(files.overrides.distributor_limits().unwrap().max_ingestion_rate, 7.5);
    files.write("b", "multi_kv_config: {mirror_enabled: false}\n");
    files.overrides.reload().unwrap();
    let switches = files.overrides.multi_kv();
    assert_eq!((switches.primary.as_deref(), switches.mirror_enabled), (Some("etcd"), Some(false)));
    files.write("a", "overrides:\n");
    files.overrides.reload().unwrap();
    assert_eq!(files.overrides.ingester_limits(), None, "those of the configuration hold again");
}

#[test]
fn runtime_config_is_dumped() {
    let files = Files::new(&["a"]);
    files.write("a", "overrides: {x: {max_global_series_per_user: 5}, z: {}}\n");
    files.overrides.reload().unwrap();
    let diff = files.overrides.dump(DumpMode::Diff).unwrap();
    assert_eq!(diff, "overrides:\n  x:\n    max_global_series_per_user: 5\n  z: {}\n");
    let full = files.overrides.dump(DumpMode::Full).unwrap();
    assert!(full.contains("\n    ingestion_burst_size: 200000\n"), "{full}");
    assert_eq!(Overrides::new(&Config::default()).dump(DumpMode::Full), None);
}

/// A single process on one machine, in the words that Mimir's users write such a file in.
#[test]
fn a_configuration_of_mimir_starts_here() {
    let resolved = resolve_file(
        "
multitenancy_enabled: false
blocks_storage:
  backend: filesystem
  bucket_store:
    sync_dir: /tmp/mimir/tsdb-sync
  filesystem:
    dir: /tmp/mimir/data/tsdb
  tsdb:
    dir: /tmp/mimir/tsdb
compactor:
  data_dir: /tmp/mimir/compactor
  sharding_ring:
    kvstore:
      store: memberlist
distributor:
  ring:
    instance_addr: 127.0.0.1
    kvstore:
      store: memberlist
ingester:
  ring:
    instance_addr: 127.0.0.1
    kvstore:
      store: memberlist
    replication_factor: 1
ruler_storage:
  backend: filesystem
  filesystem:
    dir: /tmp/mimir/rules
server:
  http_listen_port: 9009
  log_level: error
store_gateway:
  sharding_ring:
    replication_factor: 1
",
        &[],
    )
    .unwrap();
    assert_eq!(resolved.config.server.http_listen_port, 9009);
    assert_eq!(resolved.config.ingester.ring.replication_factor, 1);
    assert_eq!(unsupported(&resolved), ["-ruler-storage.filesystem.dir"]);
}
