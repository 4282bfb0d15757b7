"""The browser's side: server-made pages over the appliance's services."""
