//! The gRPC port: the health service, and the services of the components that run here.

mod connections;
mod handshakes;
mod instrument;

use std::time::Duration;

use config::ServerConfig;
use futures::FutureExt;
use futures::future::BoxFuture;
use parking_lot::Mutex;
use rpc::UnpackLayer;
use rt::metrics::Gauge;
use rt::service::ServiceStatus;
use rt::tls::ServerTls;
use rt::{BoxError, CancellationToken, Metrics, Service};
use tokio::net::TcpListener;
use tonic::service::Routes;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;
use web::{RequestMetrics, Stopping};

use instrument::ObserveLayer;

/// How often the health that is told follows the states of the services.
const HEALTH_PERIOD: Duration = Duration::from_secs(1);

/// The gRPC server.
pub(crate) struct GrpcServer {
    listener: Mutex<Option<TcpListener>>,
    components: Mutex<Routes>,
    max_concurrent_streams: u32,
    max_message_bytes: usize,
    services: ServiceStatus,
    stopping: Stopping,
    requests: RequestMetrics,
    connections: Gauge,
    tls: Option<ServerTls>,
}

impl GrpcServer {
    /// A server on a bound listener, healthy when all services run and the process does not begin
    /// to stop.
    pub(crate) fn new(
        listener: TcpListener,
        config: &ServerConfig,
        (services, stopping): (ServiceStatus, Stopping),
        (metrics, requests): (&Metrics, RequestMetrics),
    ) -> Self {
        Self {
            listener: Mutex::new(Some(listener)),
            components: Mutex::default(),
            max_concurrent_streams: config.grpc_server_max_concurrent_streams,
            max_message_bytes: config.grpc_server_max_recv_msg_size,
            services,
            stopping,
            requests,
            connections: connections::gauge(metrics),
            tls: None,
        }
    }

    /// Speaks TLS only.
    pub(crate) fn with_tls(self, tls: Option<ServerTls>) -> Self {
        Self { tls: tls.map(ServerTls::for_http2), ..self }
    }

    /// What components serve. To be called before the server starts.
    pub(crate) fn serve(&self, components: Routes) {
        *self.components.lock() = components;
    }

    async fn run(&self, stop: CancellationToken) -> Result<(), BoxError> {
        let listener = self.listener.lock().take().ok_or("the server ran before")?;
        let components = std::mem::take(&mut *self.components.lock());
        let (reporter, health) = tonic_health::server::health_reporter();
        let bound = Some(self.max_concurrent_streams).filter(|&count| count > 0);
        let server = Server::builder()
            .max_concurrent_streams(bound)
            .layer(ObserveLayer(self.requests.clone()))
            .layer(UnpackLayer { max_message_bytes: self.max_message_bytes })
            .add_routes(components.add_service(health));
        let stopped = stop.clone().cancelled_owned();
        let open = self.connections.clone();
        let serve = match self.tls.clone() {
            None => {
                let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
                let incoming = connections::counted(incoming, open);
                server.serve_with_incoming_shutdown(incoming, stopped).boxed()
            }
            Some(tls) => {
                let incoming = handshakes::incoming(listener, tls, &stop);
                let incoming = connections::counted(incoming, open);
                server.serve_with_incoming_shutdown(incoming, stopped).boxed()
            }
        };
        tokio::select! {
            served = serve => Ok(served?),
            never = self.report(&reporter) => match never {},
        }
    }

    async fn report(&self, reporter: &HealthReporter) -> std::convert::Infallible {
        let mut ticks = rt::time::interval(HEALTH_PERIOD);
        loop {
            let is_ready = !self.stopping.is_set() && self.services.not_running().is_empty();
            let status = if is_ready { ServingStatus::Serving } else { ServingStatus::NotServing };
            reporter.set_service_status("", status).await;
            ticks.tick().await;
        }
    }
}

impl Service for GrpcServer {
    fn name(&self) -> &'static str {
        "grpc-server"
    }

    fn running(&self, stop: CancellationToken) -> BoxFuture<'_, Result<(), BoxError>> {
        self.run(stop).boxed()
    }
}
