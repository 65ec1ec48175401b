//! Settings that changed while the consumer runs. Partitions that are still wanted are read on.

use std::sync::Arc;
use std::time::Instant;

use super::owned::State;
use super::start::limits;
use super::{ASK, Exit, Loop, Request};
use crate::config::ConsumerMemory;
use crate::spool::budget::Budget;
use crate::worker::settings;

impl Loop<'_> {
    /// Goes on as the configuration says now.
    pub(super) fn take_up(&mut self) -> Result<(), Exit> {
        let config = self.ctx.config();
        if Arc::ptr_eq(&config, &self.config) {
            return Ok(());
        }
        self.budget = Budget::new(limits(&config)).map_err(Exit::config)?;
        self.memory = ConsumerMemory::of(&config);
        self.share_memory();
        let topics = self.config.consumer.topics != config.consumer.topics;
        self.config = config;
        let _ = self.finder.send(Request::Settings(Arc::clone(&self.config)));
        if topics {
            self.topics.mean(settings::patterns(&self.config).map_err(Exit::config)?);
            self.rotate_unwanted();
        }
        self.try_stopped();
        Ok(())
    }

    /// What was read of topics that are not wanted any more is archived still.
    fn rotate_unwanted(&mut self) {
        let mut unwanted = self.dirty(|_| true);
        unwanted.retain(|tp| !self.topics.patterns().matches(&tp.topic));
        self.rotate(&unwanted);
    }

    /// Perhaps it was a setting that stopped them.
    fn try_stopped(&mut self) {
        let now = Instant::now();
        for state in self.partitions.values_mut() {
            if let State::Stopped { look_at } = state {
                *look_at = now;
            }
        }
    }

    /// A static member that ends stays in the group, for the one that comes after it. If none will,
    /// it has to leave before.
    pub(super) fn give_up_membership(&mut self) {
        if !self.ctx.is_surplus() || self.config.consumer.group_instance_id.is_none() {
            return;
        }
        match self.consumer.resign(ASK) {
            Ok(true) => log::info!("gave up the membership in the group"),
            Ok(false) => {
                log::warn!("the group keeps this member's partitions until its session times out");
            }
            Err(error) => log::warn!("the membership in the group can't be given up: {error}"),
        }
    }
}
