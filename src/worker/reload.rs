//! New settings for a worker that runs.
//!
//! The supervisor has found them fit and hands them over; what they mean to this worker is said by
//! [`Config::changes`], here and there. Where they mean a new process, this one goes on with what it
//! has until it is told to stop.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::Context;
use crate::config::{Config, Uptake, Uptakes};
use crate::supervisor::{Role, Updates};
use crate::sys::signals::{Order, Stop};

/// What this role's workers do about changes.
pub(crate) const fn uptake(role: Role, uptakes: Uptakes) -> Uptake {
    match role {
        Role::Consumer => uptakes.consumer,
        Role::Compressor => uptakes.compressor,
        Role::Uploader => uptakes.uploader,
        // What it reads, one of these reads, too; and it can be stopped anywhere.
        Role::Takeover => match (uptakes.consumer, uptakes.uploader) {
            (Uptake::Nothing, Uptake::Nothing) => Uptake::Nothing,
            _ => Uptake::Replace,
        },
    }
}

/// The configuration in force, and where the next one comes from.
#[derive(Debug)]
pub(crate) struct InForce {
    config: RefCell<Arc<Config>>,
    updates: Updates,
    /// What depends on it beyond the worker: the log.
    adopt: fn(&Config),
    /// Whether this worker is one too many.
    surplus: Cell<bool>,
}

impl InForce {
    pub(crate) fn new(config: Arc<Config>, updates: Updates, adopt: fn(&Config)) -> Self {
        Self { config: RefCell::new(config), updates, adopt, surplus: Cell::new(false) }
    }

    fn update(&self, role: Role, index: usize) {
        let bytes = match self.updates.take() {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return,
            Err(error) => return log::error!("the settings stay as they were: {error}"),
        };
        let Some(new) = Config::from_texts(&bytes) else {
            return log::error!("the settings stay as they were: the new ones can't be read");
        };
        self.surplus.set(is_surplus(role, index, &new));
        let uptakes = self.config.borrow().changes(&new).uptakes;
        if uptake(role, uptakes) == Uptake::Live {
            (self.adopt)(&new);
            self.config.replace(Arc::new(new));
        }
    }
}

/// Only consumers have something to settle when they go for good: their place in the group.
fn is_surplus(role: Role, index: usize, config: &Config) -> bool {
    role == Role::Consumer && index >= usize::from(config.consumer.processes)
}

impl Context {
    /// The configuration in force; another one after a reload.
    pub(crate) fn config(&self) -> Arc<Config> {
        self.in_force.config.borrow().clone()
    }

    /// Whether a worker of this number is not wanted any more, so that none will take its place.
    pub(crate) const fn is_surplus(&self) -> bool {
        self.in_force.surplus.get()
    }

    /// Reads the signals. New settings are in force before this returns.
    pub(crate) fn orders(&self) -> Vec<Order> {
        let orders = self.signals.drain_pending();
        if orders.iter().any(|order| matches!(order, Order::Reload | Order::Drain)) {
            self.in_force.update(self.role, self.index);
        }
        orders
    }

    /// The same, for who only wants to know whether to stop.
    pub(crate) fn stop(&self) -> Stop {
        self.orders();
        self.signals.stop()
    }
}
