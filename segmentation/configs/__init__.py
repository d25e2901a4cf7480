"""Native mmengine configs: ``Runner.from_cfg(Config.fromfile(...))`` runs them without the rest of this project."""
