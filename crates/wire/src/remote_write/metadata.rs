//! `MetricMetadata` of remote write 1.0. Text that is not UTF-8 is no error: help and unit end
//! before it.

use model::batch::{MetricMetadata, MetricType};

use super::DecodeError;
use super::protobuf::{Reader, WireType};

/// The metadata; `None` where the family's name is not UTF-8, because no series can have it.
pub(super) fn decode(message: &[u8]) -> Result<Option<MetricMetadata<'_>>, DecodeError> {
    const NAME: &str = "MetricMetadata";
    let mut metadata =
        MetricMetadata { family: "", metric_type: MetricType::Unknown, help: "", unit: "" };
    let mut has_name = true;
    let mut reader = Reader::new(message);
    while let Some((field, wire_type)) = reader.next_tag()? {
        match field {
            1 => {
                wire_type.expect(WireType::Varint, NAME, field)?;
                metadata.metric_type = MetricType::from_number(reader.varint()?);
            }
            2 | 4 | 5 => {
                wire_type.expect(WireType::Bytes, NAME, field)?;
                let bytes = reader.bytes()?;
                let text = valid_part(bytes);
                match field {
                    2 => (metadata.family, has_name) = (text, text.len() == bytes.len()),
                    4 => metadata.help = text,
                    _ => metadata.unit = text,
                }
            }
            _ => reader.skip(wire_type)?,
        }
    }
    Ok(has_name.then_some(metadata))
}

/// The text up to the first byte that is not UTF-8.
fn valid_part(bytes: &[u8]) -> &str {
    bytes.utf8_chunks().next().map_or("", |chunk| chunk.valid())
}
