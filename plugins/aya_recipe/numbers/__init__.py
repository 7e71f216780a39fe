"""The numbers of reports: statistics, bootstrap, win rates."""
