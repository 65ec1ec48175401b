//! Configuration files: a text gives a configuration or findings, and a configuration gives itself
//! again.

use kafkatos3::config::Config;

/// Reads the input as a configuration.
pub fn run(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // Values that stand in files are read from there: not from this machine's.
    if text.contains("file:") {
        return;
    }
    match Config::from_text("fuzz.cfg", text) {
        Err(error) => assert!(!error.to_string().is_empty()),
        Ok(loaded) => {
            let again = Config::from_texts(&loaded.texts.to_bytes());
            assert_eq!(again.as_ref(), Some(&loaded.config));
            assert!(!loaded.config.redacted().to_string().is_empty());
            let _ = format!("{:?}", loaded.config);
        }
    }
}
