"""Training of small models of our own: what is learnt, and how, by Lightning.

A module here holds a `LightningModule` a task: the network, the loss, the optimiser. Data come from
`pipelines.training`, which reads shards.
"""
