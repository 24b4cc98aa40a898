//! `MetricMetadata` of remote write 1.0.

use model::batch::{MetricMetadata, MetricType};

use super::DecodeError;
use super::protobuf::{Reader, WireType};

pub(super) fn decode(message: &[u8]) -> Result<MetricMetadata<'_>, DecodeError> {
    const NAME: &str = "MetricMetadata";
    let mut metadata =
        MetricMetadata { family: "", metric_type: MetricType::Unknown, help: "", unit: "" };
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Varint, NAME, field)?;
                metadata.metric_type = MetricType::from_number(reader.varint()?);
            }
            2 | 4 | 5 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                let text = reader.string("metadata")?;
                match field {
                    2 => metadata.family = text,
                    4 => metadata.help = text,
                    _ => metadata.unit = text,
                }
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(metadata)
}
