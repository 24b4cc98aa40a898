//! One node: its ports, its modules, its life. Holds nothing global, so that several nodes fit
//! into one process.
//!
//! ```text
//! bind ports ── try directories ── build modules ── start services ── (run) ── drain HTTP
//!                                                        └─ stop services in reverse
//! ```

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use config::{Config, Overrides, ServerConfig};
use model::{Clock, Random, TenantId};
use rt::service::StartError;
use rt::{BlockingHandle, CancellationToken, FairExecutor, Metrics, Service, ServiceManager};
use tokio::net::TcpListener;
use web::{Admin, Api, ApiOptions, HttpDrain, HttpServer, RequestMetrics, Stopping, TenantPolicy};

use crate::banner::build_info;
use crate::data_dirs;
use crate::digest::HashGauge;
use crate::env::{Env, Parts, Pools};
use crate::grpc::GrpcServer;
use crate::modules;
use crate::tls;

/// How long one service may take to stop: cutting and uploading blocks at shutdown takes time.
const STOP_TIMEOUT: Duration = Duration::from_secs(20 * 60);

/// The ports of a node, bound before anything else is touched.
pub struct Listeners {
    http: TcpListener,
    grpc: TcpListener,
    http_address: SocketAddr,
    grpc_address: SocketAddr,
}

impl Listeners {
    /// Binds both ports.
    pub async fn bind(config: &ServerConfig) -> anyhow::Result<Self> {
        let (address, port) = (&config.http_listen_address, config.http_listen_port);
        let http = web::bind_listener(address, port, "HTTP").await?;
        let (address, port) = (&config.grpc_listen_address, config.grpc_listen_port);
        let grpc = web::bind_listener(address, port, "gRPC").await?;
        let (http_address, grpc_address) = (http.local_addr()?, grpc.local_addr()?);
        Ok(Self { http, grpc, http_address, grpc_address })
    }

    /// Where HTTP is served; with the real port where 0 was asked for.
    pub fn http_address(&self) -> SocketAddr {
        self.http_address
    }

    /// Where gRPC is served.
    pub fn grpc_address(&self) -> SocketAddr {
        self.grpc_address
    }
}

/// What a node is given besides its configuration.
pub struct NodeOptions {
    /// The configuration file as it was written, for its hash; empty without one.
    pub config_text: String,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// How many CPUs it may use.
    pub cores: usize,
}

/// A node that has not started yet.
pub struct Node {
    services: ServiceManager,
    stopping: Stopping,
    shutdown_delay: Duration,
    pools: Pools,
}

impl Node {
    /// Tries the directories and builds all modules. Must be called inside of the runtime.
    pub fn build(
        config: Config,
        listeners: Listeners,
        options: NodeOptions,
    ) -> anyhow::Result<Self> {
        data_dirs::prepare(&config)?;
        let (http, grpc) = (listeners.http_address, listeners.grpc_address);
        tracing::info!(%http, %grpc, "listening");
        let env = env(config, (http, grpc), &options)?;
        register_metrics(&env, &options.config_text);
        let mut services = ServiceManager::new();
        let config = &env.config.server;
        let (stopping, requests) = (Stopping::default(), request_metrics(&env));
        let health = (services.status(), stopping.clone());
        let grpc =
            GrpcServer::new(listeners.grpc, config, health, (&env.metrics, requests.clone()))
                .with_tls(tls::of_server(config, &config.grpc_tls_config).context("gRPC server")?);
        let server = HttpServer::new(listeners.http, server_options(config), &env.metrics)?
            .with_tls(tls::of_server(config, &config.http_tls_config).context("HTTP server")?);
        let server = Arc::new(server);
        services.add(Arc::clone(&server) as Arc<dyn Service>, &[])?;
        let grpc = Arc::new(grpc);
        services.add(Arc::clone(&grpc) as Arc<dyn Service>, &[])?;
        let mut parts = Parts::new(services);
        modules::build_all(&env, &mut parts)?;
        // Added last: it stops first.
        parts.service(Arc::new(HttpDrain(Arc::clone(&server))), &["server"])?;
        grpc.serve(std::mem::take(&mut parts.grpc));
        server.serve(router(&env, &mut parts, (stopping.clone(), requests))?);
        Ok(Self {
            services: parts.services,
            stopping,
            shutdown_delay: env.config.shutdown_delay.std(),
            pools: env.pools,
        })
    }

    /// Runs until `stop` is cancelled or a service fails, and stops in order.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        match self.services.start(&stop).await {
            Ok(()) => self.wait(&stop).await,
            Err(StartError::Stopped) => {}
            Err(StartError::Failed(failure)) => tracing::error!(%failure, "start failed"),
        }
        self.stopping.set();
        let result = self.services.stop(STOP_TIMEOUT).await;
        self.pools.stop();
        match result {
            Ok(()) => tracing::info!("stopped"),
            Err(failure) => return Err(failure.into()),
        }
        Ok(())
    }

    async fn wait(&self, stop: &CancellationToken) {
        tracing::info!("running");
        tokio::select! {
            () = stop.cancelled() => {
                self.stopping.set();
                let delay_seconds = self.shutdown_delay.as_secs_f64();
                tracing::info!(delay_seconds, "not ready any more, stopping");
                rt::time::sleep(self.shutdown_delay).await;
            }
            failure = self.services.failed() => tracing::error!(%failure, "stopping"),
        }
    }
}

fn env(
    config: Config,
    (http_address, grpc_address): (SocketAddr, SocketAddr),
    options: &NodeOptions,
) -> anyhow::Result<Env> {
    let (metrics, pools) = (Metrics::new(), Pools::new(options.cores, &config)?);
    pools.register(&metrics);
    Ok(Env {
        overrides: Arc::new(Overrides::new(&config)),
        config: Arc::new(config),
        clock: Arc::clone(&options.clock),
        random: Arc::clone(&options.random),
        executor: Arc::new(FairExecutor::new(options.cores)?),
        metrics,
        pools,
        blocking: BlockingHandle::current(),
        http_address,
        grpc_address,
    })
}

fn register_metrics(env: &Env, config_text: &str) {
    rt::register_process_metrics(&env.metrics);
    web::register_memory_metrics(&env.metrics);
    let build = build_info();
    let labels = &["version", "revision", "branch", "goversion"];
    let help = "What was built";
    let info = env.metrics.gauge_vec("cortex_build_info", help, labels);
    info.with(&[build.version, build.revision, "", build.compiler]).set(1);
    let name = "cortex_config_hash";
    HashGauge::new(&env.metrics, name, "Hash of the configuration file").set(config_text);
}

fn server_options(config: &ServerConfig) -> web::ServerOptions {
    let header = config.http_server_read_header_timeout;
    let header = if header.is_positive() { header } else { config.http_server_read_timeout };
    web::ServerOptions {
        read_header_timeout: header.std(),
        read_timeout: config.http_server_read_timeout.std(),
        write_timeout: config.http_server_write_timeout.std(),
        idle_timeout: config.http_server_idle_timeout.std(),
        drain_timeout: config.graceful_shutdown_timeout.std(),
        ..web::ServerOptions::default()
    }
}

/// The metrics of requests over HTTP and gRPC.
fn request_metrics(env: &Env) -> RequestMetrics {
    let at_info = env.config.server.log_request_at_info_level_enabled;
    RequestMetrics::new(&env.metrics, Arc::clone(&env.clock), at_info)
}

fn router(
    env: &Env,
    parts: &mut Parts,
    (stopping, metrics): (Stopping, RequestMetrics),
) -> anyhow::Result<axum::Router> {
    let admin = Admin {
        config: Arc::clone(&env.config),
        overrides: Arc::clone(&env.overrides),
        services: parts.services.status(),
        stopping,
        metrics: env.metrics.clone(),
        build: build_info(),
        compute: env.pools.background.clone(),
        links: std::mem::take(&mut parts.links),
    };
    let mut api = Api::new(ApiOptions {
        tenants: tenant_policy(&env.config)?,
        path_prefix: env.config.server.http_path_prefix.clone(),
        metrics,
    });
    let routes = admin.routes().into_iter().chain(std::mem::take(&mut parts.routes));
    for routes in routes {
        api = api.with(routes);
    }
    Ok(api.finish())
}

fn tenant_policy(config: &Config) -> anyhow::Result<TenantPolicy> {
    if config.multitenancy_enabled {
        return Ok(TenantPolicy::Header);
    }
    let tenant = TenantId::new(&config.no_auth_tenant)
        .map_err(|error| anyhow::anyhow!("-auth.no-auth-tenant: {error}"))?;
    Ok(TenantPolicy::Always(tenant))
}
