//! What the ring pages show, in JSON with Mimir's names and as a table; and forgetting an
//! instance there.

use std::fmt::Write;

use jiff::Timestamp;
use model::html::escape_html;
use serde::Serialize;

use crate::desc::{Desc, InstanceDesc, InstanceState};
use crate::kv::{Client, KvError};
use crate::ring::{Ring, RingRules};

/// Go's zero time.
const NO_TIME: &str = "0001-01-01T00:00:00Z";

/// A ring as its page shows it.
#[derive(Debug, Serialize)]
pub struct RingStatus {
    shards: Vec<InstanceStatus>,
    now: String,
}

#[derive(Debug, Serialize)]
struct InstanceStatus {
    id: String,
    state: &'static str,
    address: String,
    timestamp: String,
    registered_timestamp: String,
    read_only: bool,
    read_only_updated_timestamp: String,
    zone: String,
    tokens: Vec<u32>,
    #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
    versions: std::collections::BTreeMap<u64, u64>,
    /// Percent of its zone's keys.
    #[serde(skip)]
    ownership: f64,
}

/// A time in seconds as Go writes it; its zero time where `seconds` is unset.
fn time(seconds: i64) -> String {
    if seconds == 0 {
        return NO_TIME.to_owned();
    }
    Timestamp::from_second(seconds).map_or_else(|_| NO_TIME.to_owned(), |time| time.to_string())
}

impl RingStatus {
    /// The page of a ring.
    pub fn new(desc: Desc, heartbeat_timeout_s: i64, now_ms: i64) -> Self {
        let ring = Ring::new(desc, RingRules::default());
        let owned = ring.owned_keys();
        let now_s = now_ms.div_euclid(1000);
        let shards = ring.instances().iter().zip(owned).map(|(instance, keys)| {
            let ownership = keys as f64 / f64::from(u32::MAX) * 100.0;
            InstanceStatus::new(instance, heartbeat_timeout_s, now_s, ownership)
        });
        let now = Timestamp::from_millisecond(now_ms).map_or_else(|_| time(0), |t| t.to_string());
        Self { shards: shards.collect(), now }
    }

    /// The page in JSON.
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// The table of the page, with a button to forget each instance.
    pub fn html(&self, with_tokens: bool) -> String {
        let mut html = format!(
            "<p>Current time: {}</p>\n<form method=\"POST\"><table>\n<tr><th>Instance ID</th>\
             <th>Availability zone</th><th>State</th><th>Address</th><th>Registered at</th>\
             <th>Read-only</th><th>Last heartbeat</th><th>Tokens</th><th>Ownership</th>\
             <th>Actions</th></tr>\n",
            escape_html(&self.now)
        );
        for shard in &self.shards {
            // A String takes everything.
            let _ = writeln!(html, "{}", shard.row());
        }
        html.push_str("</table></form>\n");
        if !with_tokens {
            html.push_str("<p><a href=\"?tokens=true\">Show tokens</a></p>\n");
            return html;
        }
        html.push_str("<p><a href=\"?tokens=false\">Hide tokens</a></p>\n");
        for shard in &self.shards {
            let tokens: Vec<String> = shard.tokens.iter().map(ToString::to_string).collect();
            let (id, tokens) = (escape_html(&shard.id), tokens.join(" "));
            let _ = writeln!(html, "<h2>Instance: {id}</h2>\n<p>{tokens}</p>");
        }
        html
    }
}

impl InstanceStatus {
    fn new(instance: &InstanceDesc, timeout_s: i64, now_s: i64, ownership: f64) -> Self {
        let state = instance.instance_state().map_or("UNKNOWN", InstanceState::word);
        let is_healthy = instance.is_heartbeat_healthy(timeout_s, now_s);
        Self {
            id: instance.id.clone(),
            state: if is_healthy { state } else { "UNHEALTHY" },
            address: instance.addr.clone(),
            timestamp: Timestamp::from_second(instance.timestamp)
                .map_or_else(|_| time(0), |time| time.to_string()),
            registered_timestamp: time(instance.registered_timestamp),
            read_only: instance.read_only,
            read_only_updated_timestamp: time(instance.read_only_updated_timestamp),
            zone: instance.zone.clone(),
            tokens: instance.tokens.clone(),
            versions: instance.versions.clone(),
            ownership,
        }
    }

    fn row(&self) -> String {
        let [id, zone, address] = [&self.id, &self.zone, &self.address].map(|t| escape_html(t));
        let shown = |time: &String| if time == NO_TIME { String::new() } else { time.clone() };
        format!(
            "<tr><td>{id}</td><td>{zone}</td><td>{}</td><td>{address}</td><td>{}</td><td>{} {}\
             </td><td>{}</td><td>{}</td><td>{:.3}%</td><td><button name=\"forget\" value=\"{id}\" \
             type=\"submit\">Forget</button></td></tr>",
            self.state,
            shown(&self.registered_timestamp),
            if self.read_only { "yes" } else { "" },
            shown(&self.read_only_updated_timestamp),
            self.timestamp,
            self.tokens.len(),
            self.ownership,
        )
    }
}

/// Takes an instance out of a ring.
pub async fn forget(client: &Client<Desc>, key: &str, id: &str) -> Result<(), KvError> {
    client
        .cas(key, |desc| {
            let mut desc = desc.ok_or("found empty ring when trying to unregister")?;
            Ok(desc.ingesters.remove(id).map(|_| desc))
        })
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_has_mimirs_names() {
        let instance = InstanceDesc {
            addr: "127.0.0.1:9095".to_owned(),
            timestamp: 1_700_000_000,
            tokens: vec![5],
            registered_timestamp: 1_600_000_000,
            ..InstanceDesc::default()
        };
        let desc = Desc { ingesters: [("<i>".to_owned(), instance)].into() };
        let status = RingStatus::new(desc, 60, 1_700_000_061_500);
        let want = r#"{"shards":[{"id":"<i>","state":"UNHEALTHY","address":"127.0.0.1:9095","timestamp":"2023-11-14T22:13:20Z","registered_timestamp":"2020-09-13T12:26:40Z","read_only":false,"read_only_updated_timestamp":"0001-01-01T00:00:00Z","zone":"","tokens":[5]}],"now":"2023-11-14T22:14:21.5Z"}"#;
        assert_eq!(status.json().trim_end(), want);
        let html = status.html(true);
        assert!(html.contains("value=\"&lt;i&gt;\"") && html.contains("100.000%"), "{html}");
    }
}
