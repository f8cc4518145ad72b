"""A fleet of batching servers, request by request: queues, balancing, the lives of replicas, a controller."""
