//! Between the types of `model` and those of the wire.

use bytes::Bytes;
use model::{EncodedChunk, Labels, MatchOp, Matcher};
use tonic::Status;

use crate::messages::common::{LabelMatcher, LabelPair};

/// Matchers as they are sent.
pub(crate) fn matchers_out(matchers: &[Matcher]) -> Vec<LabelMatcher> {
    let out = |matcher: &Matcher| LabelMatcher {
        r#type: match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        },
        name: matcher.name().to_owned(),
        value: String::from_utf8_lossy(matcher.value()).into_owned(),
    };
    matchers.iter().map(out).collect()
}

/// Matchers as they came.
pub(crate) fn matchers_in(matchers: &[LabelMatcher]) -> Result<Vec<Matcher>, Status> {
    let one = |matcher: &LabelMatcher| {
        let op = match matcher.r#type {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            other => return Err(Status::invalid_argument(format!("unknown matcher type {other}"))),
        };
        Matcher::new(op, &matcher.name, &matcher.value)
            .map_err(|error| Status::invalid_argument(error.to_string()))
    };
    matchers.iter().map(one).collect()
}

/// Labels as they are sent: slices of one copy.
pub(crate) fn labels_out(labels: &Labels) -> Vec<LabelPair> {
    let mut text = Vec::new();
    for label in labels.iter() {
        text.extend_from_slice(label.name.as_bytes());
        text.extend_from_slice(label.value.as_bytes());
    }
    let (text, mut at) = (Bytes::from(text), 0);
    let mut take = |length: usize| {
        let piece = text.slice(at..at + length);
        at += length;
        piece
    };
    labels
        .iter()
        .map(|label| LabelPair { name: take(label.name.len()), value: take(label.value.len()) })
        .collect()
}

/// Labels as they came. They must be UTF-8 and ascend.
pub(crate) fn labels_in(pairs: &[LabelPair]) -> Result<Labels, Status> {
    let text = |bytes: &'_ Bytes| -> Result<String, Status> {
        let bad = |_| Status::internal("a label is not UTF-8");
        std::str::from_utf8(bytes).map(str::to_owned).map_err(bad)
    };
    let mut labels = Vec::with_capacity(pairs.len());
    for pair in pairs {
        labels.push((text(&pair.name)?, text(&pair.value)?));
    }
    let is_sorted = labels.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if !is_sorted {
        return Err(Status::internal("labels of a series are not in order"));
    }
    let borrowed = labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    Ok(Labels::from_sorted(borrowed))
}

/// What Prometheus' number of an encoding is on the ingester's wire, and back: 3 more.
const INGESTER_ENCODING_OFFSET: i32 = 3;
/// What it is on the store-gateway's: 1 less.
const GATEWAY_ENCODING_OFFSET: i32 = -1;

/// The service that a chunk travels in, which decides the number of its encoding.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ChunkWire {
    Ingester,
    StoreGateway,
}

impl ChunkWire {
    fn offset(self) -> i32 {
        match self {
            Self::Ingester => INGESTER_ENCODING_OFFSET,
            Self::StoreGateway => GATEWAY_ENCODING_OFFSET,
        }
    }

    /// The number of a chunk's encoding on the wire.
    pub(crate) fn encoding_out(self, encoding: u8) -> i32 {
        i32::from(encoding) + self.offset()
    }

    /// A chunk as it came.
    pub(crate) fn chunk_in(
        self,
        (min_time_ms, max_time_ms): (i64, i64),
        (encoding, data): (i32, &Bytes),
    ) -> Result<EncodedChunk, Status> {
        let number = encoding.checked_sub(self.offset()).and_then(|n| u8::try_from(n).ok());
        let known = number.filter(|n| (1..=3).contains(n));
        let Some(encoding) = known else {
            return Err(Status::internal(format!("unknown chunk encoding {encoding}")));
        };
        Ok(EncodedChunk { min_time_ms, max_time_ms, encoding, data: data[..].into() })
    }
}
