//! One instance in an ingester ring, without a server: for looking at a ring that is shared with
//! Mimir. Prints the ring whenever it changes.
//!
//! `member ID GOSSIP_PORT memberlist HOST:PORT[,...]` or `member ID 0 etcd HOST:PORT[,...]`

use std::sync::Arc;
use std::time::Duration;

use config::{EtcdConfig, IngesterRingConfig, MemberlistConfig, StringList};
use ring::kv::{Client, EtcdStore, Store};
use ring::lifecycler::{Lifecycler, LifecyclerParts};
use ring::memberlist::{MemberlistKv, ServiceParts};
use ring::{Desc, RingCodec, options};
use rt::{CancellationToken, Metrics, Service, ServiceManager, SystemClock, SystemRandom};

#[tokio::main]
async fn main() -> Result<(), rt::BoxError> {
    let args: Vec<String> = std::env::args().collect();
    let [_, id, port, store, others] = &args[..] else { return Err("ID PORT STORE OTHERS".into()) };
    let (clock, random) = (Arc::new(SystemClock::new()), Arc::new(SystemRandom::new()?));
    let metrics = Metrics::new();
    let mut services = ServiceManager::new();
    let store: Arc<dyn Store> = if store == "etcd" {
        let endpoints = StringList(vec![others.clone()]);
        let config = EtcdConfig { endpoints, ..EtcdConfig::default() };
        Arc::new(EtcdStore::new(&options::etcd(&config)?)?)
    } else {
        let config = MemberlistConfig {
            bind_addr: StringList(vec!["127.0.0.1".to_owned()]),
            bind_port: port.parse()?,
            join_members: StringList(vec![others.clone()]),
            ..MemberlistConfig::default()
        };
        let parts = ServiceParts {
            clock: clock.clone(),
            random: random.clone(),
            metrics: metrics.clone(),
            codecs: vec![Arc::new(RingCodec)],
        };
        let options = options::memberlist(&config, random.as_ref())?;
        let memberlist = Arc::new(MemberlistKv::new(options, parts)?);
        services.add(memberlist.clone(), &[])?;
        memberlist
    };
    let client: Client<Desc> = Client::new(store, Arc::new(RingCodec), "collectors/");
    let config = IngesterRingConfig {
        instance_id: id.clone(),
        instance_addr: "127.0.0.1".to_owned(),
        heartbeat_period: config::GoDuration::from_secs(5),
        ..IngesterRingConfig::default()
    };
    let instance = options::ingester_instance(&config, 9095)?;
    let parts = LifecyclerParts { client: client.clone(), clock, random, metrics };
    services.add(Arc::new(Lifecycler::new(instance, parts)) as Arc<dyn Service>, &[])?;
    let stop = rt::signal::listen()?;
    services.start(&CancellationToken::new()).await?;
    let print = client.watch_key("ring", |desc| {
        let line = |(id, i): (&String, &ring::InstanceDesc)| {
            let sum: u64 = i.tokens.iter().map(|token| u64::from(*token)).sum();
            format!("{id} state={} tokens={} sum={sum} ts={}", i.state, i.tokens.len(), i.timestamp)
        };
        let lines: Vec<String> = desc.unwrap_or_default().ingesters.iter().map(line).collect();
        tracing_line(&lines.join(" | "));
        true
    });
    stop.run_until_cancelled(print).await;
    services.stop(Duration::from_secs(30)).await?;
    Ok(())
}

fn tracing_line(line: &str) {
    // A closed pipe is no failure.
    let _ = std::io::Write::write_all(&mut std::io::stdout(), format!("{line}\n").as_bytes());
}
