"""Studies sent to a cluster from outside: job folders, tunnels, the job server."""
