//! Prints a part of a topic, wherever its archive is:
//!
//! ```text
//! cargo run --example print_topic -- s3://bucket/kafkatos3 orders 1000 1010
//! cargo run --example print_topic -- /srv/archive orders
//! ```
//!
//! Of each object only what is needed is fetched, and what comes next is fetched meanwhile.

use std::error::Error;
use std::io::{self, Write as _};

use kafkatos3::archive::Archive;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [url, topic, offsets @ ..] = arguments.as_slice() else {
        return Err("usage: print_topic ARCHIVE TOPIC [FROM [TO]]".into());
    };
    let from = offsets.first().map_or(Ok(0), |text| text.parse())?;
    let to = offsets.get(1).map_or(Ok(u64::MAX), |text| text.parse())?;

    let topic = Archive::open(url).await?.topic(topic).await?;
    let mut messages = topic.range(from..to);
    let mut out = io::BufWriter::new(io::stdout().lock());
    while let Some(message) = messages.next().await? {
        let (partition, record) = (message.chain.partition(), message.record);
        let text = |bytes: Option<&[u8]>| match bytes {
            None => "null".to_owned(),
            Some(bytes) => bytes.escape_ascii().to_string(),
        };
        let (key, value) = (text(record.key), text(record.value));
        writeln!(out, "{partition} {} {key} {value}", record.offset)?;
    }
    out.flush()?;
    Ok(())
}
