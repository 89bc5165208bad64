"""The work: taking turns, claiming chunks, processing items under a fence, preparing, finishing and rescue.

Nothing above imports it but the queue's entry point and the cluster; services meet it only in the tables.
"""
