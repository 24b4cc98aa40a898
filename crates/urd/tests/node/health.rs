//! The gRPC port.

use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

use crate::inside::InsideNode;

#[test]
fn the_health_service_answers() {
    let node = InsideNode::start(|_, _| {});
    node.wait_for("/ready", "ready");
    let url = format!("http://{}", node.grpc);
    let status = node.runtime.block_on(async {
        let channel = tonic::transport::Endpoint::try_from(url).unwrap().connect().await.unwrap();
        let mut client = HealthClient::new(channel);
        let mut updates = client.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
        // The first answer may be from before the services ran.
        loop {
            let update = updates.message().await.unwrap().unwrap();
            if update.status() != ServingStatus::NotServing {
                break update.status();
            }
        }
    });
    assert_eq!(status, ServingStatus::Serving);
    node.stop();
}
