"""The campaign of ``optimize``, load generators, runs through a server; graphs and routes in folders of their own."""
