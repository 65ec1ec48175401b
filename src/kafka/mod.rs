//! The only code that touches librdkafka.
