"""Output for people: exposure metrics, charts, pages, exports and the pictures of each stage.

It takes payloads of the stages, and neither loads nor stores them.
"""
