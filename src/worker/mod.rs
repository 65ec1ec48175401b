//! The shells that bring spool, Kafka, chain and store together.
