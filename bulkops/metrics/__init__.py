"""What Prometheus reads: the state of jobs, queues and workers from the tables, for those whom a setting lets in."""
