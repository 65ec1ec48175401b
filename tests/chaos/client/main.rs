//! The chaos run's hand in Kafka: produces numbered records and keeps a journal of what became of
//! them, administers topics and groups, and reads a log back.
//!
//! Takes one command a line on standard input, a JSON object with `do`, and answers each with one
//! line: `{"ok": ...}` or `{"error": TEXT}`. It goes on producing meanwhile. At the end of its
//! input it flushes what is under way and ends. It uses the Kafka client library that the product
//! uses, but nothing of the product.

mod admin;
mod journal;
mod load;

use std::io::{self, BufRead as _, Write as _};
use std::sync::Arc;

use serde_json::{Value, json};

use admin::Admin;
use load::Load;

/// What goes wrong is told to whoever gave the command.
type Answer = Result<Value, Box<dyn std::error::Error>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(bootstrap), Some(file)) = (arguments.next(), arguments.next()) else {
        return Err("usage: chaos_client BOOTSTRAP JOURNAL".into());
    };
    let load = Arc::new(Load::new(&bootstrap, file.as_ref())?);
    let producing = {
        let load = Arc::clone(&load);
        std::thread::spawn(move || load.run())
    };
    let admin = Admin::new(&bootstrap)?;
    for line in io::stdin().lock().lines() {
        let answer = match obey(&admin, &load, &line?) {
            Ok(value) => json!({ "ok": value }),
            Err(error) => json!({ "error": error.to_string() }),
        };
        let mut out = io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    load.stop();
    producing.join().map_err(|_| "the load panicked")?;
    Ok(())
}

fn obey(admin: &Admin, load: &Load, line: &str) -> Answer {
    let command: Value = serde_json::from_str(line)?;
    match command["do"].as_str() {
        Some("load") => {
            load.add(
                text(&command, "topic")?,
                number(&command, "life")?,
                number(&command, "partitions")?,
            );
            Ok(Value::Null)
        }
        Some("unload") => Ok(json!(load.remove(text(&command, "topic")?))),
        Some("rate") => {
            load.set_rate(command["rate"].as_u64().ok_or("no rate")?);
            Ok(Value::Null)
        }
        Some("flush") => load.flush(),
        Some("produced") => Ok(json!(load.acknowledged())),
        _ => admin.obey(&command),
    }
}

fn text<'a>(command: &'a Value, key: &str) -> Result<&'a str, String> {
    command[key].as_str().ok_or_else(|| format!("{key} is no text in {command}"))
}

fn number(command: &Value, key: &str) -> Result<i32, String> {
    let number = command[key].as_i64().and_then(|number| number.try_into().ok());
    number.ok_or_else(|| format!("{key} is no small number in {command}"))
}
