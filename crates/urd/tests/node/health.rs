//! The gRPC port: its health, and the metrics of its calls.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::inside::InsideNode;

type Health = HealthClient<tonic::transport::Channel>;

async fn client(node: &InsideNode) -> Health {
    let url = format!("http://{}", node.grpc);
    let channel = tonic::transport::Endpoint::try_from(url).unwrap().connect().await.unwrap();
    HealthClient::new(channel)
}

/// Watches until the health is not `last`.
async fn change(client: &mut Health, last: ServingStatus) -> ServingStatus {
    let mut updates = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    loop {
        let update = updates.message().await.unwrap().unwrap();
        if update.status() != last {
            return update.status();
        }
    }
}

#[test]
fn the_health_service_answers() {
    let node = InsideNode::start(|_, _| {});
    node.wait_for("/ready", "ready");
    // The first answer may be from before the services ran.
    let status = node
        .runtime
        .block_on(async { change(&mut client(&node).await, ServingStatus::NotServing).await });
    assert_eq!(status, ServingStatus::Serving);
    node.stop();
}

#[test]
fn a_node_that_will_stop_is_not_healthy_while_it_still_serves() {
    let node = InsideNode::start(|config, _| {
        config.shutdown_delay = config::GoDuration::from_secs(4);
    });
    node.wait_for("/ready", "ready");
    let status = node.runtime.block_on(async {
        let mut client = client(&node).await;
        change(&mut client, ServingStatus::NotServing).await;
        node.begin_stop();
        change(&mut client, ServingStatus::Serving).await
    });
    assert_eq!(status, ServingStatus::NotServing);
    assert_eq!(node.get("/ready").trim_end(), "Application is stopping");
    node.stop();
}

#[test]
fn calls_have_the_metrics_of_requests() {
    let node = InsideNode::start(|_, _| {});
    node.wait_for("/ready", "ready");
    let mut client = node.runtime.block_on(client(&node));
    node.runtime.block_on(async {
        client.check(HealthCheckRequest::default()).await.unwrap();
        let service = "nobody".to_owned();
        client.check(HealthCheckRequest { service }).await.unwrap_err();
    });
    let open = "cortex_tcp_connections{protocol=\"grpc\"}";
    let text = node.get("/metrics");
    assert!(text.contains(&format!("{open} 1\n")), "{text}");
    drop(client);
    let labels = r#"method="gRPC",route="/grpc.health.v1.Health/Check""#;
    let want = [
        format!("{open} 0"),
        format!(
            "cortex_request_duration_seconds_count{{{labels},status_code=\"OK\",ws=\"false\"}} 1"
        ),
        format!(
            "cortex_request_duration_seconds_count{{{labels},status_code=\"NotFound\",ws=\"false\"}} 1"
        ),
        format!("cortex_inflight_requests{{{labels}}} 0"),
        // Two heads, and the eight bytes of a message.
        format!("cortex_request_message_bytes_sum{{{labels}}} 18"),
        // A head and a status.
        format!("cortex_response_message_bytes_sum{{{labels}}} 7"),
    ];
    // They are written down when the answer has been sent.
    let (mut tries, mut text) = (0, String::new());
    while let Some(missing) = want.iter().find(|line| !text.contains(line.as_str())) {
        assert!(tries < 1000, "{missing} is missing: {text}");
        text = node.get("/metrics");
        tries += 1;
    }
    node.stop();
}
