"""Everything that talks to Ray: sessions, the cluster's size, Tune, Train."""
