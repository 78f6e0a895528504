//! lagdb: an embedded, transactional memory for agents.
