//! A fixed amount of work, whose instructions `scripts/instructions` counts. The argument says which
//! path; what it needs is made before, outside of the function that is counted.

mod sample;
mod work;

use std::error::Error;
use std::hint::black_box;

use kafkatos3::types::{Offset, Suffix};

const RECORDS: usize = 20_000;

fn main() -> Result<(), Box<dyn Error>> {
    let path = std::env::args().nth(1).unwrap_or_default();
    let records = work::records(RECORDS);
    let mut blocks = Vec::new();
    if path != "build" {
        work::path_build(&records, &mut blocks)?;
    }
    match path.as_str() {
        "build" => {
            blocks.reserve(records.len() * 250);
            work::path_build(&records, &mut blocks)?;
        }
        "read" => drop(black_box(work::path_read(&blocks)?)),
        "headers" => drop(black_box(work::path_headers(RECORDS))),
        "plain" => drop(black_box(work::path_pack(&blocks, Suffix::Mak)?)),
        "gzip" => drop(black_box(work::path_pack(&blocks, Suffix::MakGz)?)),
        "append" => {
            let place = tempfile::tempdir()?;
            let mut file = work::in_progress(place.path(), Offset::ZERO)?;
            work::path_append(&mut file, &blocks)?;
            file.discard()?;
        }
        other => return Err(format!("there is no path \"{other}\"").into()),
    }
    black_box(blocks);
    Ok(())
}
